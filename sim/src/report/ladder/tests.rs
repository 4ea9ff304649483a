// SPDX-License-Identifier: MPL-2.0
//! Tests of the model and of both renderers.

use super::*;
use crate::report::style::Style;
use proptest::prelude::*;

pub(crate) fn at(order: u64, microseconds: u64) -> When {
    When {
        order,
        time: Time::from_nanos(microseconds * 1000),
    }
}

fn lanes() -> Ladder {
    let lanes = ["initiator", "kernel 0", "relay 0", "relay 1", "kernel 1"];
    Ladder::new(lanes.map(String::from))
}

/// A read through the standby path in which everything that can go wrong does.
pub(crate) fn example() -> Ladder {
    let mut ladder = lanes();
    ladder.title = "an example <of & all>".into();
    ladder.subtitle = vec!["recorded by hand, seed 7".into()];
    let mut arrow = |from, to, label: &str, began, ended, fate, remark: &str| {
        let mut arrow = Arrow::new(from, to, label, began, ended);
        arrow.fate = fate;
        arrow.remark = remark.into();
        arrow.goes_on = from == 3 && to == 4;
        ladder.push(Item::Arrow(arrow));
    };
    arrow(
        0,
        1,
        "READ(10) #7",
        at(1, 100),
        at(1, 100),
        Fate::Arrived,
        "",
    );
    arrow(
        1,
        2,
        "scsi_cmd 5",
        at(2, 110),
        at(3, 120),
        Fate::Arrived,
        "",
    );
    arrow(
        2,
        3,
        "scsi_cmd 5",
        at(3, 120),
        at(4, 351),
        Fate::Arrived,
        "",
    );
    arrow(
        3,
        4,
        "scsi_cmd 5",
        at(4, 351),
        at(4, 351),
        Fate::Arrived,
        "",
    );
    arrow(
        4,
        3,
        "scsi_data 5",
        at(5, 360),
        at(6, 370),
        Fate::Arrived,
        "",
    );
    arrow(
        3,
        2,
        "scsi_data 5",
        at(6, 370),
        at(16, 9_700),
        Fate::Lost,
        "link down",
    );
    arrow(
        4,
        3,
        "scsi_status 5",
        at(7, 380),
        at(8, 390),
        Fate::Arrived,
        "",
    );
    arrow(
        3,
        2,
        "scsi_status 5",
        at(8, 390),
        at(12, 8_390),
        Fate::Late,
        "late, 8.00 ms",
    );
    arrow(
        1,
        2,
        "lun_active 6",
        at(9, 400),
        at(10, 410),
        Fate::Refused,
        "EAGAIN",
    );
    arrow(
        2,
        1,
        "scsi_status 5",
        at(12, 8_390),
        at(12, 8_390),
        Fate::Refused,
        "EINVAL",
    );
    arrow(
        0,
        4,
        "TEST UNIT READY #8",
        at(13, 8_400),
        at(13, 8_400),
        Fate::Arrived,
        "",
    );
    arrow(
        4,
        0,
        "02/04/0B #8",
        at(14, 8_500),
        at(14, 8_500),
        Fate::Failed,
        "",
    );
    arrow(
        4,
        3,
        "scsi_data 9",
        at(15, 8_600),
        at(15, 8_600),
        Fate::Open,
        "never answered",
    );
    ladder.push(Item::Band {
        text: "the link breaks".into(),
        tone: Tone::Heading,
        when: at(11, 2_000),
    });
    ladder.push(Item::Note {
        lane: 4,
        text: "panic: bad mutex".into(),
        tone: Tone::Bad,
        when: at(17, 9_800),
        presence: Some(Presence::Goes),
    });
    ladder.push(Item::Note {
        lane: 0,
        text: "command #7 timed out".into(),
        tone: Tone::Bad,
        when: at(18, 75_000_000),
        presence: None,
    });
    ladder.skip(at(13, 8_400), 4);
    ladder.skip(at(19, 75_000_001), 12);
    for (item, until) in [(4, None), (5, Some(at(15, 8_600)))] {
        if let Some(Item::Arrow(arrow)) = ladder.items.get_mut(item) {
            arrow.hold = Some(Hold {
                lane: 4,
                until,
                locked: item == 4,
            });
        }
    }
    ladder
}

#[test]
fn a_ladder_reads_well_as_text() {
    insta::assert_snapshot!(example().text(Style::PLAIN, 100));
}

#[test]
fn a_ladder_reads_well_on_a_narrow_screen() {
    insta::assert_snapshot!(example().text(Style::PLAIN, LEAST));
}

const LEAST: usize = text::LEAST_WIDTH;

#[test]
fn a_ladder_reads_well_as_svg() {
    insta::assert_snapshot!(example().svg());
}

#[test]
fn what_is_lost_and_late_stands_out() {
    let text = example().text(Style::COLOURED, 100);
    let red = |what: &str| {
        text.lines()
            .any(|line| line.contains("\x1b[1;31m") && line.contains(what))
    };
    assert!(red("lost") && red("X---"), "{text}");
    assert!(red("EINVAL"), "{text}");
    assert!(text.contains("\x1b[33m<~"), "{text}");
}

#[test]
fn slow_arrows_are_late_and_short_ones_never() {
    let mut ladder = lanes();
    for number in 0..LATE_SAMPLES as u64 {
        let took = if number == 3 { 1_101 } else { 100 };
        let (began, ended) = (at(number * 2, 0), at(number * 2 + 1, took));
        ladder.push(Item::Arrow(Arrow::new(2, 3, "scsi_cmd 1", began, ended)));
        // Twenty times the median, but not by a millisecond.
        let ended = at(number * 2 + 1, if number == 3 { 1_050 } else { 51 });
        ladder.push(Item::Arrow(Arrow::new(3, 2, "status 1", began, ended)));
    }
    let mut fewer = ladder.clone();
    ladder.judge();
    assert_eq!(ladder.count(Fate::Late), 1);
    let Item::Arrow(late) = &ladder.items[6] else {
        panic!("an arrow")
    };
    assert_eq!((late.fate, &*late.remark), (Fate::Late, "late, 1.10 ms"));
    fewer.items.truncate(8);
    fewer.judge();
    assert_eq!(fewer.count(Fate::Late), 0, "too few to know");
}

#[test]
fn overtaken_arrows_are_late_within_their_stream() {
    let mut ladder = lanes();
    for (label, stream, began, ended) in [
        ("a", 1, 1, 9),
        ("b", 1, 2, 4),
        ("c", 2, 3, 10),
        ("d", 1, 5, 11),
    ] {
        let arrow = Arrow::new(2, 3, label, at(began, began), at(ended, ended));
        let stream = Some(stream);
        ladder.push(Item::Arrow(Arrow { stream, ..arrow }));
    }
    ladder.judge();
    let late: Vec<&str> = ladder
        .arrows_of(Fate::Late)
        .map(|arrow| &*arrow.label)
        .collect();
    assert_eq!(late, ["a"]);
}

impl Ladder {
    fn arrows_of(&self, fate: Fate) -> impl Iterator<Item = &Arrow> {
        self.items.iter().filter_map(move |item| match item {
            Item::Arrow(arrow) if arrow.fate == fate => Some(arrow),
            _ => None,
        })
    }
}

#[test]
fn texts_fit_their_room() {
    assert_eq!(fit("abcdef", 6), "abcdef");
    assert_eq!(fit("abcdefg", 6), "abc...");
    assert_eq!(fit("漢字漢字", 7), "漢字...");
    assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
    assert_eq!(wrap("one two three four", 8, 2), ["one two", "three..."]);
    assert_eq!(clean("a\x1b[2J\u{202E}b\nc"), "a\u{FFFD}[2J\u{FFFD}b c");
    assert_eq!(clean(&"x".repeat(MAX_TEXT)).len(), MAX_TEXT);
    assert_eq!(clean(&"x".repeat(MAX_TEXT + 1)).len(), MAX_TEXT + 3);
}

fn any_item() -> impl Strategy<Value = Item> {
    let fate = prop_oneof![
        Just(Fate::Arrived),
        Just(Fate::Late),
        Just(Fate::Failed),
        Just(Fate::Refused),
        Just(Fate::Lost),
        Just(Fate::Open)
    ];
    let text = prop_oneof![any::<String>(), "[ -~]{0,40}", "[<>&\"'\\]]{0,9}"];
    let place = (0..60u64, 0..4_000_000_000u64, 0..30u64);
    let flags = any::<[bool; 4]>();
    (0..4u8, 0..6usize, 0..6usize, text, place, fate, flags).prop_map(
        |(kind, from, to, text, (order, time, longer), fate, flags)| {
            let when = at(order, time);
            let ended = at(order + longer, time.saturating_add(longer * 100));
            let tone = if flags[0] { Tone::Bad } else { Tone::Faint };
            match kind {
                0 => Item::Note {
                    lane: from,
                    text,
                    tone,
                    when,
                    presence: flags[1].then_some(if flags[2] {
                        Presence::Goes
                    } else {
                        Presence::Comes
                    }),
                },
                1 => Item::Band { text, tone, when },
                _ => Item::Arrow(Arrow {
                    remark: if flags[3] {
                        text.clone()
                    } else {
                        String::new()
                    },
                    fate,
                    goes_on: flags[2],
                    hold: flags[0].then_some(Hold {
                        lane: to,
                        until: flags[1].then_some(ended),
                        locked: flags[2],
                    }),
                    ..Arrow::new(from, to, &text, when, ended)
                }),
            }
        },
    )
}

proptest! {
    /// Whatever stands in a trace, the text has no control characters and keeps its width, and
    /// the picture is XML.
    #[test]
    fn any_story_can_be_drawn(
        items in prop::collection::vec(any_item(), 0..20),
        names in prop::collection::vec(any::<String>(), 1..7),
        title: String,
        width in 0..200usize,
    ) {
        let mut ladder = Ladder::new(names);
        ladder.title = clean(&title);
        for item in items {
            ladder.push(item);
        }
        ladder.judge();
        let text = ladder.text(Style::PLAIN, width);
        let most = width.clamp(text::LEAST_WIDTH, text::MOST_WIDTH);
        for line in text.lines() {
            prop_assert!(columns(line) <= most, "{} columns: {line}", columns(line));
            prop_assert!(!line.chars().any(char::is_control));
        }
        let svg = ladder.svg();
        prop_assert_eq!(well_formed(&svg), Ok(()), "{}", svg);
    }
}

/// Reads all of a document with a strict parser.
pub(crate) fn well_formed(text: &str) -> Result<(), String> {
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut depth = 0usize;
    loop {
        use quick_xml::events::Event;
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                depth += 1;
                attributes(&start)?;
            }
            Event::Empty(start) => attributes(&start)?,
            Event::End(_) => depth -= 1,
            Event::Text(text) => {
                let text = text.xml10_content();
                if text.chars().any(|c| c.is_control() && c != '\n') {
                    return Err(format!("control character in {text:?}"));
                }
            }
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(format!("{depth} elements are not closed")),
            _ => {}
        }
    }
}

fn attributes(start: &quick_xml::events::BytesStart<'_>) -> Result<(), String> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
        value.map_err(|error| error.to_string())?;
    }
    Ok(())
}
