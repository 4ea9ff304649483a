// SPDX-License-Identifier: MPL-2.0
//! Panics of our own code (relay or kernel) while a script is played: caught and told, so that
//! they can be a finding like any other.
//!
//! Only the thread that plays is quiet meanwhile; panics of others are printed as ever.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does `work`; if it panics, what it said and where.
///
/// # Errors
///
/// A line, as `index out of bounds: ... (sim/src/world/node.rs:12)`.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !QUIET.get() {
                return before(info);
            }
            let place = info
                .location()
                .map(|at| format!("{}:{}", at.file(), at.line()));
            PLACE.set(place);
        }));
    });
    let outer = QUIET.replace(true);
    // What the work has touched is only looked at and dropped afterwards.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| {
        let text = match (
            payload.downcast_ref::<String>(),
            payload.downcast_ref::<&str>(),
        ) {
            (Some(text), _) => text.as_str(),
            (_, Some(text)) => text,
            _ => "a panic without a text",
        };
        let line = text.lines().next().unwrap_or_default();
        match PLACE.take() {
            Some(place) => format!("{line} ({place})"),
            None => line.to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_told_with_their_place() {
        assert_eq!(caught(|| 3), Ok(3));
        let told = caught(|| -> u32 { panic!("number {}\nand more", 7) }).unwrap_err();
        assert!(told.starts_with("number 7 ("), "{told}");
        assert!(told.contains("caught.rs:"), "{told}");
        assert!(caught(|| { caught(|| panic!("inner")).unwrap_err() }).is_ok());
    }
}
