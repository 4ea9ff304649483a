// SPDX-License-Identifier: MPL-2.0
use super::sync::{Condition, Mutex, Promise, Queue};
use super::*;

fn executor() -> (Executor, GroupId) {
    let executor = Executor::new(Box::new(FirstChoice));
    let group = executor.new_group("node 0");
    (executor, group)
}

#[test]
fn time_jumps_to_the_next_timer_and_timers_fire_in_order() {
    let (executor, group) = executor();
    let log = Rc::new(RefCell::new(Vec::new()));
    for (name, seconds) in [("late", 20u64), ("early", 10), ("early too", 10)] {
        let (log, handle) = (log.clone(), executor.clone());
        executor.spawn(group, name, async move {
            handle.sleep(Duration::from_secs(seconds)).await;
            log.borrow_mut().push((name, handle.now()));
        });
    }
    executor.run_until(Time::from_nanos(60_000_000_000));
    let ten = Time::ZERO + Duration::from_secs(10);
    let twenty = Time::ZERO + Duration::from_secs(20);
    assert_eq!(
        *log.borrow(),
        [("early", ten), ("early too", ten), ("late", twenty)]
    );
    assert_eq!(executor.now(), Time::ZERO + Duration::from_secs(60));
}

#[test]
fn a_lock_that_is_taken_twice_is_told() {
    let (executor, group) = executor();
    let lock = Mutex::new(&executor, group, "lock of a proxy port");
    let (of_other, handle) = (lock.clone(), executor.clone());
    executor.spawn(group, "holder", async move {
        let _lock = of_other.lock().await;
        handle.sleep(Duration::from_secs(1)).await;
    });
    let of_waiter = lock.clone();
    executor.spawn(group, "waiter", async move {
        let _first = of_waiter.lock().await;
        let _second = of_waiter.lock().await;
    });
    executor.run_ready();
    assert!(!executor.has_deadlock(), "one waits, the other goes on");
    executor.run_until(Time::from_nanos(2_000_000_000));
    assert!(executor.has_deadlock());
    let blocked = executor.blocked_threads();
    assert!(blocked[0].held_by_itself);
    assert_eq!(
        blocked[0].to_string(),
        "node 0, waiter: waits for the lock of a proxy port of node 0, held by itself \
         (recursive); holds the lock of a proxy port"
    );
}

#[test]
fn a_mutex_is_handed_over_in_order_and_a_deadlock_is_told() {
    let (executor, group) = executor();
    let first = Mutex::new(&executor, group, "stmf lock");
    let second = Mutex::new(&executor, group, "pppt global lock");
    for (name, a, b) in [
        ("one", first.clone(), second.clone()),
        ("other", second.clone(), first.clone()),
    ] {
        let handle = executor.clone();
        executor.spawn(group, name, async move {
            let _a = a.lock().await;
            handle.sleep(Duration::from_secs(1)).await;
            let _b = b.lock().await;
        });
    }
    executor.run_until(Time::from_nanos(2_000_000_000));
    let blocked = executor.blocked_threads();
    let told: Vec<String> = blocked.iter().map(|thread| thread.to_string()).collect();
    assert_eq!(
        told,
        [
            "node 0, one: waits for the pppt global lock of node 0, held by other (node 0); \
             holds the stmf lock",
            "node 0, other: waits for the stmf lock of node 0, held by one (node 0); \
             holds the pppt global lock",
        ]
    );
    assert_eq!(
        blocked[0].stack(),
        "node 0, one: waits for the pppt global lock of node 0; holds the stmf lock\n  \
         held by node 0, other: waits for the stmf lock of node 0\n    \
         held by node 0, one: waits for the pppt global lock of node 0"
    );
    assert_eq!(executor.held_locks().len(), 2);
    assert!(executor.has_deadlock());
    // Ending the group drops the guards: nothing is held and nobody is left.
    executor.end_group(group);
    assert!(!first.is_held() && !second.is_held());
    assert!(executor.blocked_threads().is_empty() && executor.held_locks().is_empty());
    assert!(executor.spawn(group, "late", async {}).is_none());
}

#[test]
fn a_waiter_that_is_ended_passes_the_mutex_on() {
    let (executor, group) = executor();
    let other = executor.new_group("relay");
    let mutex = Mutex::new(&executor, group, "lock");
    let done = Rc::new(Cell::new(false));
    let (held, handle) = (mutex.clone(), executor.clone());
    executor.spawn(group, "holder", async move {
        let _guard = held.lock().await;
        handle.sleep(Duration::from_secs(1)).await;
    });
    let waiting = mutex.clone();
    executor.spawn(other, "ended", async move {
        let _guard = waiting.lock().await;
    });
    let (waiting, flag) = (mutex.clone(), done.clone());
    executor.spawn(group, "second", async move {
        let _guard = waiting.lock().await;
        flag.set(true);
    });
    executor.run_ready();
    executor.end_group(other);
    executor.run_until(Time::from_nanos(1_000_000_000));
    assert!(done.get());
}

#[test]
fn promises_conditions_and_queues_wake_their_waiters() {
    let (executor, group) = executor();
    let queue: Queue<u32> = Queue::new(&executor, "work");
    let promise: Promise<u32> = Promise::new(&executor, "the sum");
    let condition = Condition::new(&executor, "a change");
    let (input, output) = (queue.clone(), promise.clone());
    executor.spawn(group, "adder", async move {
        let sum = input.pop().await + input.pop().await;
        output.set(sum);
    });
    executor.run_ready();
    queue.push(2);
    queue.push(40);
    executor.run_ready();
    assert_eq!(promise.try_take(), Some(42));
    let (count, waiting) = (Rc::new(Cell::new(0)), condition.clone());
    for _ in 0..2 {
        let (count, waiting) = (count.clone(), waiting.clone());
        executor.spawn(group, "waiter", async move {
            waiting.wait().await;
            count.set(count.get() + 1);
        });
    }
    executor.run_ready();
    condition.notify_one();
    executor.run_ready();
    assert_eq!(count.get(), 1);
    condition.notify_all();
    executor.run_ready();
    assert_eq!(count.get(), 2);
}

#[test]
fn a_paused_group_stands_still_and_goes_on_in_order() {
    let (executor, group) = executor();
    let log = Rc::new(RefCell::new(Vec::new()));
    for (name, seconds) in [("late", 3u64), ("early", 2), ("ready", 0)] {
        let (log, handle) = (log.clone(), executor.clone());
        executor.spawn(group, name, async move {
            handle.sleep(Duration::from_secs(seconds)).await;
            log.borrow_mut().push((name, handle.now()));
        });
    }
    let condition = Condition::new(&executor, "a change");
    let (waiting, of_waiter, handle) = (condition.clone(), log.clone(), executor.clone());
    executor.spawn(group, "woken", async move {
        waiting.wait().await;
        of_waiter.borrow_mut().push(("woken", handle.now()));
    });
    let other = executor.new_group("node 1");
    let (of_other, handle) = (log.clone(), executor.clone());
    executor.spawn(other, "other", async move {
        handle.sleep(Duration::from_secs(4)).await;
        of_other.borrow_mut().push(("other", handle.now()));
    });
    let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
    executor.run_until(at(1));
    executor.pause_group(group);
    condition.notify_all();
    executor.run_until(at(9));
    assert_eq!(*log.borrow(), [("ready", at(0)), ("other", at(4))]);
    executor.resume_group(group);
    executor.run_until(at(10));
    assert_eq!(
        log.borrow()[2..],
        [("woken", at(9)), ("early", at(9)), ("late", at(9))]
    );
    // What is ready when the pause begins stands aside too, and a group that ends leaves nothing.
    executor.spawn(group, "never", async move { panic!("it has ended") });
    executor.pause_group(group);
    executor.end_group(group);
    executor.resume_group(group);
    executor.run_until(at(11));
}
