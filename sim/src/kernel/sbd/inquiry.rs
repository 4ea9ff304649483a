// SPDX-License-Identifier: MPL-2.0
//! INQUIRY data of the logical unit: the standard data as COMSTAR's disks send them, and pages
//! 00h (supported pages), 80h (serial number) and 83h (names).

use super::{Environment, Nexus};
use crate::scsi::Sense;

/// Pages of vital product data, in the order of page 00h.
const PAGES: [u8; 3] = [0x00, 0x80, 0x83];

/// Standard INQUIRY data: 74 bytes, as recorded; SPC-3, a disk that takes tagged commands.
pub(super) fn standard(alua: bool) -> Vec<u8> {
    let mut data = vec![0; 74];
    data[2] = 0x05; // VERSION: SPC-3
    data[3] = 0x12; // hierarchical LUNs, response data format 2
    data[4] = (data.len() - 5) as u8;
    data[5] = 0x08; // 3PC, as COMSTAR has it
    if alua {
        data[5] |= 0x10; // TPGS: implicit asymmetric access
    }
    data[7] = 0x02; // CMDQUE
    data[8..16].copy_from_slice(b"SUN     ");
    data[16..32].copy_from_slice(b"COMSTAR         ");
    data[32..36].copy_from_slice(b"1.0 ");
    for (at, descriptor) in [(58, 0x0060u16), (60, 0x0300), (62, 0x0320)] {
        data[at..at + 2].copy_from_slice(&descriptor.to_be_bytes()); // SAM-3, SPC-3, SBC-2
    }
    data
}

/// A page of vital product data.
pub(super) fn page(
    code: u8,
    guid: &[u8; 16],
    nexus: &Nexus,
    environment: &dyn Environment,
) -> Result<Vec<u8>, Sense> {
    let payload = match code {
        0x00 => PAGES.to_vec(),
        0x80 => guid
            .iter()
            .flat_map(|byte| format!("{byte:02X}").into_bytes())
            .collect(),
        0x83 => {
            let mut names = designator(0x01, 0x03, guid); // binary, of the unit, NAA
            names.extend(port_designator(0x04, nexus.relative_port_id));
            if environment.alua_enabled() {
                names.extend(port_designator(0x05, environment.target_port_group(nexus)));
            }
            names
        }
        _ => return Err(Sense::INVALID_FIELD_IN_CDB),
    };
    let mut data = vec![0, code];
    data.extend((payload.len() as u16).to_be_bytes());
    data.extend(payload);
    Ok(data)
}

fn designator(code_set: u8, association_and_type: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![code_set, association_and_type, 0, value.len() as u8];
    bytes.extend(value);
    bytes
}

/// A number of the target port: binary, association 1.
fn port_designator(kind: u8, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    designator(0x01, 0x10 | kind, &[0, 0, high, low])
}

#[cfg(test)]
mod tests {
    use super::super::tests::nexus;
    use super::super::{SingleNode, TargetPortGroup};
    use super::*;
    use crate::scsi::inquiry::{Designator, designators, serial_number, supported_pages};

    struct Alua;

    impl Environment for Alua {
        fn alua_enabled(&self) -> bool {
            true
        }
        fn target_port_group(&self, _: &Nexus) -> u16 {
            1
        }
        fn target_port_groups(&self) -> Vec<TargetPortGroup> {
            vec![]
        }
    }

    #[test]
    fn standard_data_are_those_recorded() {
        let recorded = b"\x00\x00\x05\x12\x45\x18\x00\x02SUN     COMSTAR         1.0 ";
        assert_eq!(standard(true)[..36], recorded[..]);
        assert_eq!(standard(true).len(), 74);
        assert_eq!(standard(false)[5], 0x08);
    }

    #[test]
    fn pages_name_the_unit_the_port_and_with_alua_its_group() {
        let guid = [0x60, 1, 0x44, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let nexus = nexus(1);
        let get = |code, alua: bool| match alua {
            true => page(code, &guid, &nexus, &Alua),
            false => page(code, &guid, &nexus, &SingleNode::default()),
        };
        assert_eq!(
            supported_pages(&get(0x00, false).unwrap()),
            Some(&PAGES[..])
        );
        let serial = serial_number(&get(0x80, false).unwrap());
        assert_eq!(serial.unwrap(), "600144F0000000000000000000000009");
        let mut names = vec![
            Designator::LogicalUnitNaa(guid.to_vec()),
            Designator::RelativePortId(nexus.relative_port_id),
        ];
        assert_eq!(designators(&get(0x83, false).unwrap()), Some(names.clone()));
        names.push(Designator::TargetPortGroup(1));
        assert_eq!(designators(&get(0x83, true).unwrap()), Some(names));
        assert_eq!(get(0xb0, true), Err(Sense::INVALID_FIELD_IN_CDB));
    }
}
