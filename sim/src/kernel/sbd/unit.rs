// SPDX-License-Identifier: MPL-2.0
//! The life of a logical unit beside its commands: made, changing its access state, reset; and the
//! sessions that it knows.

use super::attention::Attention;
use super::mode::ModePages;
use super::persistent::PersistentReservations;
use super::{AccessState, Config, LogicalUnit, Nexus, NexusState, PersistentState, SharedDisk};
use crate::scsi::Sense;
use crate::scsi::reports::Capacity;

/// Why a logical unit cannot be made of a disk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The block size is not one that is served.
    #[error("a block of {0} bytes is not served; take a power of two from 512 to 32768")]
    BlockSize(u32),
    /// Not even one block fits.
    #[error("the disk has {size} bytes, less than one block of {block_size}; take a larger one")]
    Empty {
        /// Size of the disk in bytes.
        size: u64,
        /// Bytes in a block.
        block_size: u32,
    },
}

/// What is left of a disk behind its last whole block is not used; a
/// [`FileStore`](super::FileStore) pads instead.
fn capacity(config: &Config, size: u64) -> Result<Capacity, ConfigError> {
    let block_size = config.block_size;
    if !block_size.is_power_of_two() || !(512..=32_768).contains(&block_size) {
        return Err(ConfigError::BlockSize(block_size));
    }
    match size / u64::from(block_size) {
        0 => Err(ConfigError::Empty { size, block_size }),
        blocks => Ok(Capacity { blocks, block_size }),
    }
}

impl LogicalUnit {
    /// A logical unit on one node. If it is active, stored persistent reservations are in force.
    pub fn new(
        config: Config,
        disk: SharedDisk,
        access: AccessState,
    ) -> Result<LogicalUnit, ConfigError> {
        let capacity = capacity(&config, disk.borrow().size())?;
        let mut unit = LogicalUnit {
            capacity,
            config,
            access,
            nexuses: Default::default(),
            reserved_by: None,
            persistent: PersistentReservations::default(),
            mode: ModePages {
                write_cache_enabled: true,
            },
            stopped: false,
            disk,
        };
        unit.load_metadata();
        Ok(unit)
    }

    /// What it was made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its size.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The disk behind it.
    pub fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    /// Its access state on this node.
    pub fn access(&self) -> AccessState {
        self.access
    }

    /// Persistent reservations as they are on this node: nothing unless it is active here.
    pub fn persistent_state(&self) -> &PersistentState {
        self.persistent.state()
    }

    /// The unit begins to become standby: until [`become_standby`](LogicalUnit::become_standby)
    /// every command is refused with 02/04/0A.
    pub fn begin_standby(&mut self) {
        self.access = AccessState::ToStandby;
    }

    /// The unit begins to become active: until [`become_active`](LogicalUnit::become_active) every
    /// command is refused with 02/04/0A.
    pub fn begin_active(&mut self) {
        self.access = AccessState::ToActive;
    }

    /// The unit is standby here from now on: reservations of both sorts are dropped, and every
    /// nexus gets the unit attention "asymmetric access state changed". Stored persistent
    /// reservations stay with the disk. Nothing happens to a unit that is standby already.
    pub fn become_standby(&mut self) {
        if self.access == AccessState::Standby {
            return;
        }
        self.access = AccessState::Standby;
        self.reserved_by = None;
        self.persistent = PersistentReservations::default();
        self.tell_all(&[Attention::AccessStateChanged]);
    }

    /// The unit is active here from now on (the end of an import): what is stored with the disk is
    /// in force, and every nexus gets the unit attentions "power on" and "asymmetric access state
    /// changed". Nothing happens to a unit that is active already.
    pub fn become_active(&mut self) {
        if self.access == AccessState::Active {
            return;
        }
        self.access = AccessState::Active;
        self.reserved_by = None;
        self.stopped = false;
        self.load_metadata();
        self.tell_all(&[Attention::PowerOn, Attention::AccessStateChanged]);
    }

    /// A logical unit reset, asked for by session `by` (or by nobody): the reservation of RESERVE
    /// ends, mode pages take their saved values, and every nexus but the one that asked gets the
    /// unit attention "power on, reset". On a standby unit nobody is told: it is the active one
    /// that is reset, and that one tells. Commands in progress are the caller's to abort.
    pub fn reset(&mut self, by: Option<u64>) {
        self.reserved_by = None;
        self.stopped = false;
        self.mode.write_cache_enabled = self.disk.borrow().metadata().write_cache_enabled;
        if self.access != AccessState::Standby {
            let others = self.nexuses.iter_mut().filter(|n| Some(*n.0) != by);
            others.for_each(|(_, nexus)| nexus.tell(Attention::PowerOn));
        }
    }

    /// Whether a session with this id has been here. A caller that lets a command wait between its
    /// arrival and [`begin`](LogicalUnit::begin) can tell by it whether another was faster.
    pub fn knows_session(&self, session_id: u64) -> bool {
        self.nexuses.contains_key(&session_id)
    }

    /// Whether this nexus, and not only another one with its session id, has been here.
    pub fn knows(&self, nexus: &Nexus) -> bool {
        self.nexuses
            .get(&nexus.session_id)
            .is_some_and(|known| known.id == nexus.id)
    }

    /// A session has ended: its unit attentions and its RESERVE are forgotten. Its persistent
    /// registration stays.
    pub fn session_ended(&mut self, session_id: u64) {
        self.nexuses.remove(&session_id);
        if self.reserved_by == Some(session_id) {
            self.reserved_by = None;
        }
    }

    fn load_metadata(&mut self) {
        if self.access == AccessState::Active {
            let disk = self.disk.borrow();
            self.mode.write_cache_enabled = disk.metadata().write_cache_enabled;
            self.persistent = PersistentReservations::restore(disk.metadata().reservations.clone());
        }
    }

    fn tell_all(&mut self, attentions: &[Attention]) {
        for nexus in self.nexuses.values_mut() {
            attentions
                .iter()
                .for_each(|attention| nexus.tell(*attention));
        }
    }

    /// Takes note of a session when its first command or task management function comes; `false`
    /// if its id is taken by another nexus, which is answered BUSY. One that comes to a unit that
    /// is not standby starts with "power on". [`begin`](LogicalUnit::begin) does this by itself.
    pub fn admit(&mut self, nexus: &Nexus) -> bool {
        if let Some(known) = self.nexuses.get(&nexus.session_id) {
            return known.id == nexus.id;
        }
        let (id, through_proxy) = (nexus.id.clone(), nexus.through_proxy);
        let mut state = NexusState {
            id,
            through_proxy,
            attentions: Default::default(),
        };
        if self.access != AccessState::Standby {
            state.tell(Attention::PowerOn);
        }
        self.nexuses.insert(nexus.session_id, state);
        true
    }

    /// The unit attention that `nexus` is to be told now.
    pub(super) fn attention(&mut self, nexus: &Nexus) -> Option<Sense> {
        self.nexuses.get_mut(&nexus.session_id)?.attentions.take()
    }
}

impl NexusState {
    /// A nexus through a proxy port is told nothing: the node it is on tells it what concerns it.
    pub(super) fn tell(&mut self, attention: Attention) {
        if !self.through_proxy {
            self.attentions.add(attention);
        }
    }
}
