// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::world::choices::Drawn;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

/// What one end heard, and the connections it has.
#[derive(Default)]
struct Ear {
    heard: RefCell<Vec<String>>,
    bytes: RefCell<Vec<u8>>,
    pieces: Cell<usize>,
    taken: Cell<usize>,
    connection: RefCell<Option<Connection>>,
}

impl Ear {
    fn heard(&self) -> Vec<String> {
        self.heard.take()
    }
    fn connection(&self) -> Connection {
        self.connection.borrow().clone().expect("connected")
    }
}

impl Endpoint for Ear {
    fn connected(&self, connection: &Connection) {
        *self.connection.borrow_mut() = Some(connection.clone());
        self.heard.borrow_mut().push("connected".into());
    }
    fn received(&self, _: &Connection, bytes: Bytes) {
        self.bytes.borrow_mut().extend_from_slice(&bytes);
        self.pieces.set(self.pieces.get() + 1);
    }
    fn taken(&self, _: &Connection, bytes: usize) {
        self.taken.set(self.taken.get() + bytes);
    }
    fn ended(&self, _: &Connection, end: End) {
        self.heard.borrow_mut().push(format!("{end:?}"));
    }
}

const ADDRESS: Address = Address {
    node: 1,
    port: 6543,
};

struct Setting {
    executor: Executor,
    network: Network,
    client_group: GroupId,
    server_group: GroupId,
    client: Rc<Ear>,
    server: Rc<Ear>,
}

impl Setting {
    fn new(seed: u64, config: NetworkConfig) -> Setting {
        let executor = Executor::new(Box::new(Drawn::new(seed)));
        let [world, client_group, server_group] =
            ["network", "client", "server"].map(|name| executor.new_group(name));
        Setting {
            network: Network::new(&executor, world, Trace::new(), config),
            executor,
            client_group,
            server_group,
            client: Rc::default(),
            server: Rc::default(),
        }
    }

    fn listen(&self) {
        let server = self.server.clone();
        let accept: Accept = Rc::new(move |_| server.clone());
        self.network
            .listen(ADDRESS, self.server_group, accept)
            .unwrap();
    }

    fn connect(&self) -> Connection {
        self.network
            .connect(0, ADDRESS, self.client_group, self.client.clone())
    }

    /// A connection that stands.
    fn standing(seed: u64, config: NetworkConfig) -> Setting {
        let setting = Setting::new(seed, config);
        setting.listen();
        setting.connect();
        setting.run(1);
        assert_eq!(setting.client.heard(), ["connected"]);
        assert_eq!(setting.server.heard(), ["connected"]);
        setting
    }

    /// A node stands still for some milliseconds from now on.
    fn freeze_for_a_while(&self, node: NodeId) {
        self.network.freeze(node);
        let (frozen, handle) = (self.network.clone(), self.executor.clone());
        self.executor.spawn(self.client_group, "thaw", async move {
            handle.sleep(Duration::from_millis(3)).await;
            frozen.thaw(node);
        });
    }

    fn run(&self, seconds: u64) {
        self.executor
            .run_until(self.executor.now() + Duration::from_secs(seconds));
    }
}

proptest! {
    /// Whatever is sent arrives whole and in order, whatever pieces it is cut into.
    #[test]
    fn streams_are_reliable(
        seed: u64,
        largest_piece in proptest::option::of(1..50u32),
        slow_reader in proptest::option::of(1_000..5_000u64),
        to_server in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
        to_client in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
    ) {
        let config = NetworkConfig {
            cut: Ratio::new(1, 2),
            largest_piece,
            ..NetworkConfig::default()
        };
        let setting = Setting::standing(seed, config);
        setting.freeze_for_a_while(0);
        for piece in &to_server {
            setting.client.connection().send(Bytes::copy_from_slice(piece));
        }
        for piece in &to_client {
            setting.server.connection().send(Bytes::copy_from_slice(piece));
        }
        setting.server.connection().close();
        setting.run(60);
        prop_assert_eq!(setting.client.bytes.take(), to_client.concat());
        prop_assert_eq!(setting.client.heard(), ["Closed"]);
        prop_assert_eq!(setting.network.connections(), 0);

        let config = NetworkConfig { largest_piece, ..NetworkConfig::default() };
        let setting = Setting::standing(seed, config);
        setting.network.slow_reader(0, 1, slow_reader);
        for piece in &to_server {
            setting.client.connection().send(Bytes::copy_from_slice(piece));
        }
        setting.freeze_for_a_while(0);
        setting.freeze_for_a_while(1);
        setting.run(60);
        prop_assert_eq!(setting.client.taken.get(), to_server.concat().len());
        prop_assert_eq!(setting.server.bytes.take(), to_server.concat());
    }
}

#[test]
fn what_is_sent_at_once_is_cut_now_and_then() {
    let config = NetworkConfig {
        cut: Ratio::new(1, 4),
        ..NetworkConfig::default()
    };
    let setting = Setting::standing(1, config);
    for _ in 0..100 {
        setting
            .client
            .connection()
            .send(Bytes::from_static(&[0; 64]));
    }
    setting.run(1);
    assert!(
        (110..150).contains(&setting.server.pieces.get()),
        "{}",
        setting.server.pieces.get()
    );
}

#[test]
fn nobody_listens_nobody_answers_and_an_address_is_taken_once() {
    let setting = Setting::new(1, NetworkConfig::default());
    setting.connect();
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Refused"]);
    setting.listen();
    let accept: Accept = Rc::new(|_| Rc::<Ear>::default());
    assert_eq!(
        setting
            .network
            .listen(ADDRESS, setting.client_group, accept),
        Err(AddressInUse(ADDRESS))
    );
    setting.network.hold(0, 1);
    setting.connect();
    setting.run(59);
    assert_eq!(setting.client.heard(), Vec::<String>::new());
    setting.run(2);
    assert_eq!(setting.client.heard(), ["NoAnswer"]);
    setting.network.stop_listening(ADDRESS);
    setting.network.release(0, 1);
    setting.connect();
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Refused"]);
}

#[test]
fn latency_and_bandwidth_take_their_time() {
    let config = NetworkConfig {
        latency: Duration::from_millis(10),
        jitter: Duration::ZERO,
        bytes_per_second: Some(1000),
        cut: Ratio::NEVER,
        ..NetworkConfig::default()
    };
    let setting = Setting::standing(1, config);
    let start = setting.executor.now();
    setting
        .client
        .connection()
        .send(Bytes::from_static(&[1; 500]));
    setting
        .client
        .connection()
        .send(Bytes::from_static(&[2; 500]));
    assert_eq!(setting.client.connection().queued(), 1000);
    setting
        .executor
        .run_until(start + Duration::from_millis(509));
    assert_eq!(setting.server.bytes.borrow().len(), 0);
    setting
        .executor
        .run_until(start + Duration::from_millis(510));
    assert_eq!(setting.server.bytes.borrow().len(), 500);
    setting
        .executor
        .run_until(start + Duration::from_millis(1010));
    assert_eq!(setting.server.bytes.borrow().len(), 1000);
}

#[test]
fn a_stall_holds_one_way_only() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting.network.hold(0, 1);
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"late"));
    setting.server.connection().send(Bytes::from_static(b"now"));
    setting.run(100);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"");
    assert_eq!(setting.client.bytes.borrow().as_slice(), b"now");
    setting.network.release(0, 1);
    setting.run(1);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"late");
}

#[test]
fn a_reader_that_pauses_leaves_bytes_with_the_sender() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting.server.connection().pause(true);
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"waits"));
    setting.run(1);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"");
    assert_eq!(setting.client.connection().queued(), 5);
    setting.server.connection().pause(false);
    setting.run(1);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"waits");
    assert_eq!(setting.client.connection().queued(), 0);
}

#[test]
fn a_break_is_heard_at_both_ends_and_loses_what_travels() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"lost"));
    setting.network.break_connections(1, 0);
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Reset"]);
    assert_eq!(setting.server.heard(), ["Reset"]);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"");
    assert_eq!(setting.network.connections(), 0);
}

#[test]
fn a_half_open_connection_is_found_by_sending() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting.network.half_open(1, 0);
    setting.run(1);
    assert_eq!(setting.server.heard(), ["Reset"]);
    assert_eq!(setting.client.heard(), Vec::<String>::new());
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"hello?"));
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Reset"]);
    assert_eq!(setting.network.connections(), 0);
}

#[test]
fn what_a_process_sent_before_it_died_arrives() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"last words"));
    setting.executor.end_group(setting.client_group);
    setting.network.process_ended(setting.client_group);
    setting.run(1);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"last words");
    assert_eq!(setting.server.heard(), ["Closed"]);
    assert_eq!(setting.client.heard(), Vec::<String>::new());
}

#[test]
fn a_node_that_is_off_says_nothing_and_comes_back_without_memory() {
    let setting = Setting::standing(1, NetworkConfig::default());
    setting.network.node_off(1);
    setting
        .client
        .connection()
        .send(Bytes::from_static(b"lost"));
    let connection = setting.client.connection();
    setting.run(10);
    setting.connect();
    setting.run(61);
    assert_eq!(setting.client.heard(), ["NoAnswer"]);
    setting.network.node_on(1);
    setting.connect();
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Refused"]);
    connection.send(Bytes::from_static(b"still there?"));
    setting.run(1);
    assert_eq!(setting.client.heard(), ["Reset"]);
    assert_eq!(setting.server.bytes.borrow().as_slice(), b"");
}
