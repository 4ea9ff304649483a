// SPDX-License-Identifier: MPL-2.0
//! Error numbers of system calls, as illumos counts them.
//!
//! The simulator runs on any machine and must speak of `ENOBUFS` as a storage node would, so an
//! [`Errno`] always holds the illumos number, whatever the host's own numbering is (they agree
//! up to 34 on common systems, and on little after that). The numbers are those of
//! `<sys/errno.h>` as the crate `libc` publishes them for illumos; a test on illumos compares.

use std::fmt;
use std::str::FromStr;

/// The error number that a failed system call left behind, in illumos numbering.
///
/// Any number is allowed; those that have a name here are the ones that the door API, doors and
/// devices can meet. It prints as `EBUSY (16)`, and one without a name as `errno 76`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

/// Declares the named constants and the table behind `name` and `from_str` in one place.
macro_rules! errnos {
    ($($name:ident = $number:literal, $meaning:literal;)*) => {
        impl Errno {
            $(
                #[doc = concat!($meaning, " (illumos number ", stringify!($number), ").")]
                pub const $name: Errno = Errno($number);
            )*

            /// Every error number that has a name here, in ascending order.
            pub const NAMED: &[Errno] = &[$(Errno::$name),*];

            /// The name as C knows it, such as `EBUSY`; `None` for a number without one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "No privilege for this";
    ENOENT = 2, "No such file, device or object";
    ESRCH = 3, "No such process";
    EINTR = 4, "Interrupted; of a door call: the server exited while it was served";
    EIO = 5, "Input or output error";
    ENXIO = 6, "No such device or address";
    E2BIG = 7, "Arguments too long; of a door call: they do not fit the server's stack";
    EBADF = 9, "Bad descriptor; of a door call: the door was revoked or its server is gone";
    EAGAIN = 11, "No resources for now; of a door call: the wait for a thread was interrupted";
    ENOMEM = 12, "No memory";
    EACCES = 13, "Permission denied";
    EFAULT = 14, "Bad address";
    EBUSY = 16, "Device in use";
    EEXIST = 17, "Exists already";
    ENODEV = 19, "No such device";
    EINVAL = 22, "Invalid argument";
    ENFILE = 23, "Too many open files in the system; of a door call: too many descriptors";
    EMFILE = 24, "Too many open files in the process";
    ENOTTY = 25, "The device does not know this ioctl";
    EFBIG = 27, "File too large";
    ENOSPC = 28, "No space left";
    EROFS = 30, "Read-only";
    EPIPE = 32, "Nobody reads any more";
    ERANGE = 34, "Result out of range";
    ECANCELED = 47, "Cancelled";
    ENOTSUP = 48, "Not supported; of a door call: the door refuses descriptors";
    EPROTO = 71, "Protocol error";
    EBADMSG = 77, "Message that cannot be understood";
    EOVERFLOW = 79, "Value too large for its type";
    ENOSYS = 89, "No such system call";
    EMSGSIZE = 97, "Message too long";
    ENETDOWN = 127, "Network is down";
    ENETUNREACH = 128, "Network cannot be reached";
    ECONNABORTED = 130, "Connection given up";
    ECONNRESET = 131, "Connection reset by the peer";
    ENOBUFS = 132, "No buffer space; of a door call: size outside what the door allows";
    ENOTCONN = 134, "Not connected";
    ESHUTDOWN = 143, "Shut down already";
    ETIMEDOUT = 145, "Timed out";
    ECONNREFUSED = 146, "Connection refused";
    EHOSTUNREACH = 148, "No route to the host";
    EALREADY = 149, "Under way already";
    EINPROGRESS = 150, "Now under way";
}

impl Errno {
    /// The error with this illumos number.
    pub const fn from_number(number: i32) -> Errno {
        Errno(number)
    }

    /// The illumos number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

/// No error number has this name; names are those of [`Errno::NAMED`], such as `EBUSY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a known error number; write it as C does, for instance EBUSY or EAGAIN")]
pub struct UnknownErrno;

impl FromStr for Errno {
    type Err = UnknownErrno;

    /// Takes the name exactly as C writes it.
    fn from_str(name: &str) -> Result<Errno, UnknownErrno> {
        let found = Errno::NAMED.iter().find(|errno| errno.name() == Some(name));
        found.copied().ok_or(UnknownErrno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for errno in Errno::NAMED {
            let name = errno.name().expect("every entry of NAMED has a name");
            assert_eq!(name.parse(), Ok(*errno));
            assert_eq!(Errno::from_number(errno.number()), *errno);
        }
        assert!(Errno::NAMED.is_sorted());
        assert_eq!("ebusy".parse::<Errno>(), Err(UnknownErrno));
        assert_eq!("".parse::<Errno>(), Err(UnknownErrno));
    }

    #[test]
    fn prints_name_and_number() {
        assert_eq!(Errno::EBUSY.to_string(), "EBUSY (16)");
        assert_eq!(Errno::from_number(76).to_string(), "errno 76");
        assert_eq!(format!("{:?}", Errno::ENOBUFS), "ENOBUFS");
        assert_eq!(format!("{:?}", Errno::from_number(-3)), "Errno(-3)");
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "illumos"))]
    fn numbers_up_to_34_are_those_of_the_host_too() {
        // Linux and illumos both kept the first 34 of the original Unix; this checks our table
        // against the operating system that runs the test.
        for errno in Errno::NAMED.iter().filter(|errno| errno.number() <= 34) {
            let text = std::io::Error::from_raw_os_error(errno.number()).to_string();
            assert!(!text.contains("Unknown"), "{errno}: {text}");
        }
        let busy = std::io::Error::from_raw_os_error(Errno::EBUSY.number());
        assert_eq!(busy.kind(), std::io::ErrorKind::ResourceBusy);
        let missing = std::io::Error::from_raw_os_error(Errno::ENOENT.number());
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    }
}
