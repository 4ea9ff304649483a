// SPDX-License-Identifier: MPL-2.0
//! Answers that both ends make and read: READ CAPACITY, REPORT LUNS, REPORT TARGET PORT GROUPS.

use super::be;
use std::fmt;

/// What READ CAPACITY tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Number of blocks; at least 1.
    pub blocks: u64,
    /// Bytes in a block.
    pub block_size: u32,
}

impl Capacity {
    /// The data of READ CAPACITY(10): last block FFFFFFFFh if it does not fit in 32 bits.
    pub fn to_bytes_10(self) -> Vec<u8> {
        let last = u32::try_from(self.blocks - 1).unwrap_or(u32::MAX);
        [last.to_be_bytes(), self.block_size.to_be_bytes()].concat()
    }

    /// The data of READ CAPACITY(16), 32 bytes.
    pub fn to_bytes_16(self) -> Vec<u8> {
        let mut bytes = (self.blocks - 1).to_be_bytes().to_vec();
        bytes.extend(self.block_size.to_be_bytes());
        bytes.resize(32, 0);
        bytes
    }

    /// Reads the data of READ CAPACITY(10). `None` if they are short, or if they say that
    /// READ CAPACITY(16) has to be asked.
    pub fn parse_10(data: &[u8]) -> Option<Capacity> {
        let last = be(data.get(..8)?, 0, 4);
        let block_size = be(data, 4, 4) as u32;
        (last != u64::from(u32::MAX)).then_some(Capacity {
            blocks: last + 1,
            block_size,
        })
    }

    /// Reads the data of READ CAPACITY(16); `None` if they are short or the number of blocks is
    /// not one.
    pub fn parse_16(data: &[u8]) -> Option<Capacity> {
        let blocks = be(data.get(..12)?, 0, 8).checked_add(1)?;
        Some(Capacity {
            blocks,
            block_size: be(data, 8, 4) as u32,
        })
    }

    /// Size in bytes; saturates.
    pub fn bytes(self) -> u64 {
        self.blocks.saturating_mul(self.block_size.into())
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks of {} bytes", self.blocks, self.block_size)
    }
}

/// The data of REPORT LUNS. LUNs are eight bytes each, as they stand in a command.
pub fn luns_to_bytes(luns: &[[u8; 8]]) -> Vec<u8> {
    let mut bytes = (luns.len() as u32 * 8).to_be_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend(luns.iter().flatten());
    bytes
}

/// Reads the data of REPORT LUNS as far as they go; `None` if even the header is short.
pub fn parse_luns(data: &[u8]) -> Option<Vec<[u8; 8]>> {
    let length = be(data.get(..8)?, 0, 4) as usize;
    let list = &data[8..];
    let luns = list[..list.len().min(length)].chunks_exact(8);
    Some(
        luns.map(|lun| lun.try_into().expect("chunks of eight"))
            .collect(),
    )
}

/// A LUN as eight bytes, peripheral addressing below 256 and flat addressing up to 16,383;
/// `None` above.
pub fn lun_bytes(lun: u16) -> Option<[u8; 8]> {
    let [high, low] = lun.to_be_bytes();
    let flat = if high == 0 { 0x00 } else { 0x40 };
    (lun < 1 << 14).then_some([high | flat, low, 0, 0, 0, 0, 0, 0])
}

/// The number of a LUN in peripheral or flat addressing; `None` for other methods.
pub fn lun_number(lun: [u8; 8]) -> Option<u16> {
    let number = u16::from_be_bytes([lun[0] & 0x3f, lun[1]]);
    match lun[0] >> 6 {
        0 if lun[0] == 0 => Some(number),
        1 => Some(number),
        _ => None,
    }
}

/// Asymmetric access state of a target port group (SPC-4, table 170).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupState(pub u8);

impl GroupState {
    /// Active/optimized.
    pub const ACTIVE: GroupState = GroupState(0x0);
    /// Active/non-optimized.
    pub const NON_OPTIMIZED: GroupState = GroupState(0x1);
    /// Standby.
    pub const STANDBY: GroupState = GroupState(0x2);
    /// Unavailable.
    pub const UNAVAILABLE: GroupState = GroupState(0x3);
    /// Changing from one state to another.
    pub const TRANSITIONING: GroupState = GroupState(0xf);
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            0x0 => "active/optimized",
            0x1 => "active/non-optimized",
            0x2 => "standby",
            0x3 => "unavailable",
            0xe => "offline",
            0xf => "transitioning",
            _ => "reserved state",
        })
    }
}

/// A target port group, as REPORT TARGET PORT GROUPS lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetPortGroup {
    /// Its number.
    pub id: u16,
    /// What state the logical unit is in through its ports.
    pub state: GroupState,
    /// Whether it is the preferred one.
    pub preferred: bool,
    /// Relative port identifiers of its ports; at most 255.
    pub ports: Vec<u16>,
}

/// States that a group can be in: transitioning, standby, active/optimized.
const SUPPORTED_STATES: u8 = 0x80 | 0x04 | 0x01;

impl TargetPortGroup {
    /// A preferred group in state active/optimized.
    pub fn active(id: u16, ports: Vec<u16>) -> TargetPortGroup {
        TargetPortGroup {
            id,
            state: GroupState::ACTIVE,
            preferred: true,
            ports,
        }
    }

    /// A group in state standby, not preferred.
    pub fn standby(id: u16, ports: Vec<u16>) -> TargetPortGroup {
        TargetPortGroup {
            id,
            state: GroupState::STANDBY,
            preferred: false,
            ports,
        }
    }

    /// The groups of two nodes, lowest id first, as a logical unit lists them that is active on the
    /// node of group `own`: that one active, the other standby.
    pub fn of_two_nodes(
        own: u16,
        own_ports: Vec<u16>,
        other: u16,
        other_ports: Vec<u16>,
    ) -> Vec<TargetPortGroup> {
        let mut groups = vec![
            TargetPortGroup::active(own, own_ports),
            TargetPortGroup::standby(other, other_ports),
        ];
        groups.sort_by_key(|group| group.id);
        groups
    }

    /// The data of REPORT TARGET PORT GROUPS; with the extended header if the CDB asked for it.
    pub fn list_to_bytes(groups: &[TargetPortGroup], extended_header: bool) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        if extended_header {
            bytes.extend([0x10, 0, 0, 0]); // no implicit transition time is promised
        }
        for group in groups {
            let ports = &group.ports[..group.ports.len().min(255)];
            bytes.extend([
                u8::from(group.preferred) << 7 | group.state.0 & 0xf,
                SUPPORTED_STATES,
            ]);
            bytes.extend(group.id.to_be_bytes());
            bytes.extend([0, 0, 0, ports.len() as u8]);
            for port in ports {
                bytes.extend([0, 0]);
                bytes.extend(port.to_be_bytes());
            }
        }
        let length = bytes.len() as u32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// Reads such data, without extended header, as far as they go; `None` if even the length is
    /// short.
    pub fn parse_list(data: &[u8]) -> Option<Vec<TargetPortGroup>> {
        let length = be(data.get(..4)?, 0, 4) as usize;
        let mut rest = &data[4..data.len().min(4 + length)];
        let mut groups = Vec::new();
        while rest.len() >= 8 {
            let (head, tail) = rest.split_at(8);
            let Some(ports) = tail.get(..4 * usize::from(head[7])) else {
                break;
            };
            groups.push(TargetPortGroup {
                id: be(head, 2, 2) as u16,
                state: GroupState(head[0] & 0xf),
                preferred: head[0] & 0x80 != 0,
                ports: ports
                    .chunks_exact(4)
                    .map(|port| be(port, 2, 2) as u16)
                    .collect(),
            });
            rest = &tail[ports.len()..];
        }
        Some(groups)
    }
}

impl fmt::Display for TargetPortGroup {
    /// As `group 0: active/optimized, preferred, ports 1 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}: {}", self.id, self.state)?;
        if self.preferred {
            f.write_str(", preferred")?;
        }
        f.write_str(if self.ports.is_empty() {
            ", no ports"
        } else {
            ", ports"
        })?;
        self.ports.iter().try_for_each(|port| write!(f, " {port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn capacity_reads_as_it_was_written() {
        let capacity = Capacity {
            blocks: 2048,
            block_size: 512,
        };
        assert_eq!(capacity.to_bytes_10(), [0, 0, 7, 0xff, 0, 0, 2, 0]);
        assert_eq!(Capacity::parse_10(&capacity.to_bytes_10()), Some(capacity));
        assert_eq!(Capacity::parse_16(&capacity.to_bytes_16()), Some(capacity));
        let large = Capacity {
            blocks: 1 << 32,
            block_size: 512,
        };
        assert_eq!(Capacity::parse_10(&large.to_bytes_10()), None);
        assert_eq!(Capacity::parse_16(&large.to_bytes_16()), Some(large));
        assert_eq!(Capacity::parse_16(&[0xff; 32]), None);
        assert_eq!(capacity.to_string(), "2048 blocks of 512 bytes");
    }

    #[test]
    fn luns_are_written_as_comstar_writes_them() {
        let luns = [lun_bytes(0).unwrap(), lun_bytes(1).unwrap()];
        let recorded = [
            0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(luns_to_bytes(&luns), recorded);
        assert_eq!(parse_luns(&recorded), Some(luns.to_vec()));
        assert_eq!(parse_luns(&recorded[..23]), Some(luns[..1].to_vec()));
    }

    #[test]
    fn lun_numbers_round_trip_up_to_their_bound() {
        for number in [0, 1, 255, 256, 16_383] {
            assert_eq!(lun_number(lun_bytes(number).unwrap()), Some(number));
        }
        assert_eq!(lun_bytes(16_384), None);
        assert_eq!(lun_number([0xc1, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(
            lun_number([0x01, 0, 0, 0, 0, 0, 0, 0]),
            None,
            "bus 1 is not ours"
        );
    }

    #[test]
    fn groups_read_like_a_line_for_people() {
        let groups = vec![
            TargetPortGroup::active(0, vec![1, 2]),
            TargetPortGroup::standby(1, vec![]),
        ];
        let bytes = TargetPortGroup::list_to_bytes(&groups, false);
        let expected = [
            0, 0, 0, 24, 0x80, 0x85, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0x85, 0, 1, 0, 0,
            0, 0,
        ];
        assert_eq!(bytes, expected);
        assert_eq!(TargetPortGroup::parse_list(&bytes), Some(groups.clone()));
        assert_eq!(
            groups[0].to_string(),
            "group 0: active/optimized, preferred, ports 1 2"
        );
        assert_eq!(groups[1].to_string(), "group 1: standby, no ports");
        let extended = TargetPortGroup::list_to_bytes(&groups, true);
        assert_eq!(extended[..8], [0, 0, 0, 28, 0x10, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Capacity::parse_10(&data);
            let _ = Capacity::parse_16(&data);
            let _ = parse_luns(&data);
            let _ = TargetPortGroup::parse_list(&data);
        }
    }
}
