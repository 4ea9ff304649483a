// SPDX-License-Identifier: MPL-2.0
//! Discovery: what an initiator asks on a path before it uses a disk.

use crate::scsi::cdb;
use crate::scsi::inquiry::{self, Designator, StandardInquiry};
use crate::scsi::reports::{self, Capacity, TargetPortGroup};
use crate::scsi::{Completion, Sense, SenseKey};
use crate::world::{Outcome, Path, Transfer, World};
use std::time::Duration;

/// What an initiator learned on one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) lun: [u8; 8],
    pub(super) inquiry: StandardInquiry,
    pub(super) serial: String,
    /// The name of the unit, as `naa.6...`.
    pub(super) name: String,
    /// The group of the port of this path.
    pub(super) own_group: u16,
    pub(super) capacity: Capacity,
    pub(super) groups: Vec<TargetPortGroup>,
}

impl Found {
    /// The state of the unit through the port of this path.
    pub(super) fn own_state(&self) -> Option<&TargetPortGroup> {
        self.groups.iter().find(|group| group.id == self.own_group)
    }
}

/// How often a path is asked again while it is not ready, a tenth of a second apart.
const ATTEMPTS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// Sends a command again while the unit only says that something has happened (unit attention);
/// gives the data, and all that had happened.
pub(super) async fn command(
    path: &Path,
    lun: [u8; 8],
    cdb: &[u8],
    transfer: Transfer<'_>,
) -> Result<(Vec<u8>, Vec<Sense>), Outcome> {
    /// More unit attentions than a unit keeps for a nexus.
    const MOST: u32 = 16;
    let mut attentions = Vec::new();
    for _ in 0..MOST {
        let reply = path.command(lun, cdb, transfer).await;
        match reply.outcome {
            Outcome::Status(Completion {
                sense: Some(sense), ..
            }) if sense.key == SenseKey::UNIT_ATTENTION => {
                attentions.push(sense);
            }
            _ => return reply.good().map(|data| (data, attentions)),
        }
    }
    Err(Outcome::Status(Completion {
        status: crate::scsi::Status::CHECK_CONDITION,
        sense: attentions.pop(),
    }))
}

/// Waits until the first LU of a path is ready, as initiators do.
pub(super) async fn wait_until_ready(world: &World, path: &Path) -> Result<[u8; 8], String> {
    let mut last = "no logical unit".to_string();
    for _ in 0..ATTEMPTS {
        let luns = command(path, [0; 8], &cdb::report_luns(4096), Transfer::Read(4096)).await;
        match luns.map(|(data, _)| reports::parse_luns(&data).unwrap_or_default()) {
            Ok(luns) if luns.is_empty() => {}
            Ok(luns) => {
                match command(path, luns[0], &cdb::test_unit_ready(), Transfer::None).await {
                    Ok(_) => return Ok(luns[0]),
                    Err(outcome) => last = outcome.to_string(),
                }
            }
            Err(outcome) => last = outcome.to_string(),
        }
        world.sleep(PAUSE).await;
    }
    Err(format!(
        "the path by node {} does not become ready: {last}",
        path.node()
    ))
}

/// Asks all that an initiator asks.
pub(super) async fn discover(path: &Path, lun: [u8; 8]) -> Result<Found, String> {
    let node = path.node();
    let ask = async |what: &str, cdb: &[u8], length: u32| {
        let answer = command(path, lun, cdb, Transfer::Read(length)).await;
        answer
            .map(|(data, _)| data)
            .map_err(|outcome| format!("{what} by node {node}: {outcome}"))
    };
    let unreadable = |what: &str| format!("the answer to {what} by node {node} cannot be read");

    let data = ask("INQUIRY", &cdb::inquiry(96), 96).await?;
    let inquiry = StandardInquiry::parse(&data).ok_or_else(|| unreadable("INQUIRY"))?;
    let data = ask("INQUIRY, page 00", &cdb::inquiry_page(0x00, 255), 255).await?;
    let pages = inquiry::supported_pages(&data).ok_or_else(|| unreadable("INQUIRY, page 00"))?;
    for page in [0x00, 0x80, 0x83] {
        if !pages.contains(&page) {
            return Err(format!(
                "the unit by node {node} does not list page {page:02X}"
            ));
        }
    }
    let data = ask("INQUIRY, page 80", &cdb::inquiry_page(0x80, 255), 255).await?;
    let serial = inquiry::serial_number(&data).ok_or_else(|| unreadable("INQUIRY, page 80"))?;
    let data = ask("INQUIRY, page 83", &cdb::inquiry_page(0x83, 1024), 1024).await?;
    let names = inquiry::designators(&data).ok_or_else(|| unreadable("INQUIRY, page 83"))?;
    let name = names
        .iter()
        .find(|name| matches!(name, Designator::LogicalUnitNaa(_)));
    let name = name.ok_or_else(|| unreadable("INQUIRY, page 83 (no name of the unit)"))?;
    let own_group = names.iter().find_map(|name| match name {
        Designator::TargetPortGroup(group) => Some(*group),
        _ => None,
    });
    let data = ask("READ CAPACITY(10)", &cdb::read_capacity_10(), 8).await?;
    let short = Capacity::parse_10(&data).ok_or_else(|| unreadable("READ CAPACITY(10)"))?;
    let data = ask("READ CAPACITY(16)", &cdb::read_capacity_16(32), 32).await?;
    let capacity = Capacity::parse_16(&data).ok_or_else(|| unreadable("READ CAPACITY(16)"))?;
    if short != capacity {
        return Err(format!(
            "node {node} tells two capacities: {short:?} and {capacity:?}"
        ));
    }
    Ok(Found {
        lun,
        inquiry,
        serial,
        name: name.to_string(),
        own_group: own_group.ok_or_else(|| unreadable("INQUIRY, page 83 (no port group)"))?,
        capacity,
        groups: port_groups(path, lun).await?,
    })
}

/// REPORT TARGET PORT GROUPS.
pub(super) async fn port_groups(path: &Path, lun: [u8; 8]) -> Result<Vec<TargetPortGroup>, String> {
    let what = format!("REPORT TARGET PORT GROUPS by node {}", path.node());
    let cdb = cdb::report_target_port_groups(1024);
    let answer = command(path, lun, &cdb, Transfer::Read(1024)).await;
    let (data, _) = answer.map_err(|outcome| format!("{what}: {outcome}"))?;
    TargetPortGroup::parse_list(&data).ok_or_else(|| format!("{what}: the answer cannot be read"))
}
