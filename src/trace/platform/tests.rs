// SPDX-License-Identifier: MPL-2.0
use super::*;
use crate::platform::answer;
use crate::proxy_door::{Door, ProxyDoor};
use crate::time::Time;
use crate::trace::{Direct, RecordBuf};
use std::sync::Mutex;

type Served = (usize, Arc<dyn DoorServer>);

/// A system with one door, that fails as it is told.
#[derive(Clone, Default)]
struct Fake {
    door: Arc<Mutex<Option<Served>>>,
    failure: Arc<Mutex<Option<(u32, Errno)>>>,
}

impl Fake {
    fn call(&self, message: &[u8]) -> u32 {
        let (largest, server) = self.door.lock().unwrap().clone().unwrap();
        answer(&*server, largest, message)
    }
    fn fail(&self, command: u32, errno: Errno) {
        *self.failure.lock().unwrap() = Some((command, errno));
    }
}

impl BlockingPlatform for Fake {}

impl Platform for Fake {
    type Device = DeviceNode;
    type Door = i32;
    type Server = Arc<dyn DoorServer>;

    async fn open(&self, node: DeviceNode) -> Result<DeviceNode, Errno> {
        Ok(node)
    }
    async fn ioctl(&self, device: &DeviceNode, request: Request<'_>) -> Result<(), Errno> {
        assert_eq!(*device, request.device());
        match *self.failure.lock().unwrap() {
            Some((command, errno)) if command == request.command() => return Err(errno),
            _ => {}
        }
        if let Request::Message(message) = request {
            // Handling the message, the kernel has something to say.
            self.call(&message[1..]);
        }
        Ok(())
    }
    async fn close(&self, _: DeviceNode) -> Result<(), Errno> {
        Ok(())
    }
    async fn create_door(
        &self,
        settings: DoorSettings,
        server: Arc<dyn DoorServer>,
    ) -> Result<i32, Errno> {
        *self.door.lock().unwrap() = Some((settings.largest_message(), server));
        Ok(7)
    }
    fn door_descriptor(&self, door: &i32) -> i32 {
        *door
    }
    async fn revoke(&self, _: i32) -> Result<(), Errno> {
        let served = self.door.lock().unwrap().take();
        served.unwrap().1.unreferenced();
        Ok(())
    }
}

fn recorded(program: impl FnOnce(&RecordingPlatform<Fake, Arc<Direct<Vec<RecordBuf>>>>)) -> String {
    let recorder = Arc::new(Direct::new(Vec::new(), || Time::ZERO));
    let platform = RecordingPlatform::new(Fake::default(), 1, recorder.clone());
    program(&platform);
    drop(platform);
    let records = Arc::into_inner(recorder).unwrap().into_sink();
    let mut lines = String::new();
    for (index, record) in records.iter().enumerate() {
        let record = record.get();
        assert_eq!(record.sequence, index as u64 + 1);
        assert_eq!(record.node, Some(1));
        lines += &format!("{:?}\n", record.event);
    }
    lines
}

#[test]
fn all_that_passes_is_told_in_its_order() {
    let lines = recorded(|platform| {
        let server = |message: &[u8]| u32::from(message[0]);
        let proxy = ProxyDoor::init(Door::create(platform, server).unwrap()).unwrap();
        proxy.set_alua_state(true, 1).unwrap();
        proxy.post(&[9, 134]).unwrap();
        proxy.destroy().unwrap();
    });
    insta::assert_snapshot!(lines);
}

#[test]
fn failures_and_drops_are_told() {
    let lines = recorded(|platform| {
        let door = Door::create(platform, |_: &[u8]| panic!("a fault of the server")).unwrap();
        let fake = platform.inner();
        let proxy = ProxyDoor::init(door).unwrap();
        assert_eq!(fake.call(&[1]), 5, "EIO");
        fake.fail(0x5050_5002, Errno::EIO);
        proxy.post(&[1, 2]).unwrap_err();
        fake.fail(0x005B_0007, Errno::ENOENT);
        proxy.set_lu_standby([6; 16]).unwrap_err();
        drop(proxy);
    });
    insta::assert_snapshot!(lines);
}
