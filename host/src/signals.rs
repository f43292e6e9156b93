//! Names and numbers of this system's signals.
//!
//! On the wire a signal is a number of the agent's system (`docs/protocols/agentproto.md`
//! section 14, H16): these names are for people on either side of it.

#[cfg(unix)]
use rustix::process::Signal;

/// The signals with a name, each under its usual name first.
#[cfg(unix)]
const NAMES: &[(&str, i32)] = &[
    ("SIGHUP", Signal::HUP.as_raw()),
    ("SIGINT", Signal::INT.as_raw()),
    ("SIGQUIT", Signal::QUIT.as_raw()),
    ("SIGILL", Signal::ILL.as_raw()),
    ("SIGTRAP", Signal::TRAP.as_raw()),
    ("SIGABRT", Signal::ABORT.as_raw()),
    ("SIGIOT", Signal::ABORT.as_raw()),
    ("SIGBUS", Signal::BUS.as_raw()),
    ("SIGFPE", Signal::FPE.as_raw()),
    ("SIGKILL", Signal::KILL.as_raw()),
    ("SIGUSR1", Signal::USR1.as_raw()),
    ("SIGSEGV", Signal::SEGV.as_raw()),
    ("SIGUSR2", Signal::USR2.as_raw()),
    ("SIGPIPE", Signal::PIPE.as_raw()),
    ("SIGALRM", Signal::ALARM.as_raw()),
    ("SIGTERM", Signal::TERM.as_raw()),
    ("SIGCHLD", Signal::CHILD.as_raw()),
    ("SIGCLD", Signal::CHILD.as_raw()),
    ("SIGCONT", Signal::CONT.as_raw()),
    ("SIGSTOP", Signal::STOP.as_raw()),
    ("SIGTSTP", Signal::TSTP.as_raw()),
    ("SIGTTIN", Signal::TTIN.as_raw()),
    ("SIGTTOU", Signal::TTOU.as_raw()),
    ("SIGURG", Signal::URG.as_raw()),
    ("SIGXCPU", Signal::XCPU.as_raw()),
    ("SIGXFSZ", Signal::XFSZ.as_raw()),
    ("SIGVTALRM", Signal::VTALARM.as_raw()),
    ("SIGPROF", Signal::PROF.as_raw()),
    ("SIGWINCH", Signal::WINCH.as_raw()),
    ("SIGIO", Signal::IO.as_raw()),
    ("SIGPOLL", Signal::IO.as_raw()),
    ("SIGSYS", Signal::SYS.as_raw()),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ("SIGPWR", Signal::POWER.as_raw()),
    #[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
    ("SIGINFO", Signal::INFO.as_raw()),
];

/// A system without signals still speaks to agents that have them: the numbers every Unix shares.
#[cfg(not(unix))]
const NAMES: &[(&str, i32)] = &[
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGABRT", 6),
    ("SIGKILL", 9),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
];

/// The name of signal `number` on this system, such as `SIGTERM`; `None` where it has none.
///
/// Real-time signals have no name here.
#[must_use]
pub fn signal_name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

/// The number of the signal called `name` on this system, with or without `SIG`, in any case.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    let matches = |known: &str| {
        known.eq_ignore_ascii_case(name)
            || known.strip_prefix("SIG").is_some_and(|short| short.eq_ignore_ascii_case(name))
    };
    NAMES.iter().find(|(known, _)| matches(known)).map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::{NAMES, signal_name, signal_number};

    #[test]
    fn names_and_numbers() {
        assert_eq!(signal_number("TERM"), Some(15));
        assert_eq!(signal_number("sigterm"), Some(15));
        assert_eq!(signal_number("SigKill"), Some(9));
        assert_eq!(signal_number("SIG"), None);
        assert_eq!(signal_number("SIGSIGHUP"), None);
        assert_eq!(signal_number(""), None);
        assert_eq!(signal_name(1), Some("SIGHUP"));
        assert_eq!(signal_name(6), Some("SIGABRT"));
        assert_eq!(signal_name(0), None);
        assert_eq!(signal_name(64), None);
        for (name, number) in NAMES {
            assert_eq!(signal_number(name), Some(*number));
        }
    }
}
