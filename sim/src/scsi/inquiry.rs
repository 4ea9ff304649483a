// SPDX-License-Identifier: MPL-2.0
//! INQUIRY data read: the standard data and the pages of vital product data 00h, 80h and 83h
//! (SPC-4, 6.6 and 7.8).

use super::be;
use std::fmt;

/// What an initiator takes from the standard INQUIRY data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StandardInquiry {
    /// Peripheral qualifier, 0 to 7: 0 a device is there, 1 none now, 3 no such unit.
    pub qualifier: u8,
    /// Peripheral device type, 0 to 31: 0 a disk, 1Fh unknown or none.
    pub device_type: u8,
    /// VERSION: 5 is SPC-3, 6 is SPC-4.
    pub version: u8,
    /// TPGS: bit 0 implicit, bit 1 explicit asymmetric access.
    pub tpgs: u8,
    /// T10 vendor identification, without the blanks at its end.
    pub vendor: String,
    /// Product identification, without the blanks at its end.
    pub product: String,
    /// Product revision level, without the blanks at its end.
    pub revision: String,
}

impl StandardInquiry {
    /// Reads at least 36 bytes; `None` if there are fewer.
    pub fn parse(data: &[u8]) -> Option<StandardInquiry> {
        let data = data.get(..36)?;
        Some(StandardInquiry {
            qualifier: data[0] >> 5,
            device_type: data[0] & 0x1f,
            version: data[2],
            tpgs: data[5] >> 4 & 3,
            vendor: ascii(&data[8..16]),
            product: ascii(&data[16..32]),
            revision: ascii(&data[32..36]),
        })
    }
}

impl fmt::Display for StandardInquiry {
    /// As `disk, SUN COMSTAR 1.0, implicit asymmetric access`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.qualifier, self.device_type) {
            (0, 0) => f.write_str("disk")?,
            (0, other) => write!(f, "device of type {other:02X}h")?,
            _ => f.write_str("no device")?,
        }
        write!(f, ", {} {} {}", self.vendor, self.product, self.revision)?;
        f.write_str(match self.tpgs {
            0 => "",
            1 => ", implicit asymmetric access",
            2 => ", explicit asymmetric access",
            _ => ", implicit and explicit asymmetric access",
        })
    }
}

/// Printable ASCII without the blanks at the end; other bytes become dots.
fn ascii(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .map(|&b| {
            if b == b' ' || b.is_ascii_graphic() {
                char::from(b)
            } else {
                '.'
            }
        })
        .collect();
    text.trim_end().to_owned()
}

/// The payload of a page of vital product data, after its four bytes of header; `None` if the
/// header is not all there or is of another page. What was cut off by the allocation length is
/// simply missing.
fn page(data: &[u8], code: u8) -> Option<&[u8]> {
    if data.len() < 4 || data[1] != code {
        return None;
    }
    let length = be(data, 2, 2) as usize;
    Some(&data[4..data.len().min(4 + length)])
}

/// The codes of the supported pages, from page 00h.
pub fn supported_pages(data: &[u8]) -> Option<&[u8]> {
    page(data, 0x00)
}

/// The serial number, from page 80h.
pub fn serial_number(data: &[u8]) -> Option<String> {
    page(data, 0x80).map(ascii)
}

/// A name of a logical unit or a port, from page 83h.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Designator {
    /// The logical unit's NAA name.
    LogicalUnitNaa(Vec<u8>),
    /// The target port's relative port identifier.
    RelativePortId(u16),
    /// The target port's group.
    TargetPortGroup(u16),
    /// Something else.
    Other {
        /// 0 the logical unit, 1 the target port, 2 the target device.
        association: u8,
        /// DESIGNATOR TYPE.
        kind: u8,
        /// The name itself.
        value: Vec<u8>,
    },
}

impl fmt::Display for Designator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8], f: &mut fmt::Formatter<'_>| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            Designator::LogicalUnitNaa(name) => {
                f.write_str("naa.")?;
                hex(name, f)
            }
            Designator::RelativePortId(id) => write!(f, "relative port {id}"),
            Designator::TargetPortGroup(id) => write!(f, "target port group {id}"),
            Designator::Other {
                association,
                kind,
                value,
            } => {
                write!(f, "designator type {kind} of association {association}: ")?;
                hex(value, f)
            }
        }
    }
}

/// The designators of page 83h that are complete in `data`; `None` if it is not that page.
pub fn designators(data: &[u8]) -> Option<Vec<Designator>> {
    let mut rest = page(data, 0x83)?;
    let mut found = Vec::new();
    while let Some(value) = rest
        .get(4..4 + be(rest, 3, 1) as usize)
        .filter(|_| rest.len() >= 4)
    {
        let (association, kind) = (rest[1] >> 4 & 3, rest[1] & 0xf);
        let number = be(value, 2, 2) as u16;
        found.push(match (association, kind, value.len()) {
            (0, 3, _) => Designator::LogicalUnitNaa(value.to_vec()),
            (1, 4, 4) => Designator::RelativePortId(number),
            (1, 5, 4) => Designator::TargetPortGroup(number),
            _ => Designator::Other {
                association,
                kind,
                value: value.to_vec(),
            },
        });
        rest = &rest[4 + value.len()..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn standard_data_reads_like_a_sentence() {
        let mut data = vec![0, 0, 5, 0x12, 69, 0x18, 0, 2];
        data.extend(b"SUN     COMSTAR         1.0 ");
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert_eq!(
            inquiry.to_string(),
            "disk, SUN COMSTAR 1.0, implicit asymmetric access"
        );
        assert_eq!(StandardInquiry::parse(&data[..35]), None);
    }

    #[test]
    fn designators_are_read_until_they_are_cut_off() {
        let data = [
            0, 0x83, 0, 16, 1, 0x14, 0, 4, 0, 0, 1, 2, 1, 0x15, 0, 4, 0, 0, 0, 1,
        ];
        let both = vec![
            Designator::RelativePortId(0x102),
            Designator::TargetPortGroup(1),
        ];
        assert_eq!(designators(&data), Some(both.clone()));
        assert_eq!(designators(&data[..19]), Some(both[..1].to_vec()));
        assert_eq!(designators(&data[..3]), None);
        assert_eq!(supported_pages(&data), None);
        assert_eq!(both[0].to_string(), "relative port 258");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(data in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = StandardInquiry::parse(&data);
            let _ = serial_number(&data);
            let _ = supported_pages(&data);
            for code in [0x00, 0x80, 0x83] {
                let mut data = data.clone();
                if data.len() > 1 { data[1] = code; }
                if let Some(all) = designators(&data) {
                    prop_assert!(all.len() <= data.len() / 4);
                }
            }
        }
    }
}
