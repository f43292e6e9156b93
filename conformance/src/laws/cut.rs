//! Links that break, at every byte.

use std::time::Duration;

use super::Broken;
use crate::sim::Fault;

/// Every way in which a direction can break: an end, a reset, silence for a time, and for ever.
pub const FAULTS: [Fault; 4] =
    [Fault::Eof, Fault::Reset, Fault::Stall(None), Fault::Stall(Some(Duration::from_secs(3_600)))];

/// Runs `exchange` with every [fault](FAULTS) at every byte of a direction that carries `length`
/// bytes, and says how many runs that were.
///
/// `wanted` leaves out offsets where they are too many; the first and the last are always run.
///
/// # Errors
///
/// What the first exchange that fails says, with its offset and fault.
pub fn cut_everywhere(
    length: u64,
    mut wanted: impl FnMut(u64) -> bool,
    mut exchange: impl FnMut(u64, Fault) -> Result<(), Broken>,
) -> Result<u64, Broken> {
    let mut runs = 0;
    for offset in (0..=length).filter(|at| *at == 0 || *at == length || wanted(*at)) {
        for fault in FAULTS {
            exchange(offset, fault)
                .map_err(|broken| broken.at(format_args!("{fault:?} at byte {offset}")))?;
            runs += 1;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offset_is_run_with_every_fault_and_the_one_that_fails_is_named() {
        let mut ran = Vec::new();
        let runs = cut_everywhere(
            9,
            |at| at % 4 == 0,
            |at, fault| {
                ran.push((at, fault));
                Ok(())
            },
        );
        assert_eq!(runs, Ok(16));
        let offsets: Vec<_> = ran.iter().map(|(at, _)| *at).step_by(FAULTS.len()).collect();
        assert_eq!(offsets, [0, 4, 8, 9]);
        let fails = |at, _| if at == 2 { Err(Broken::new("P-ERR", "no")) } else { Ok(()) };
        let broken = cut_everywhere(3, |_| true, fails).unwrap_err();
        assert_eq!(broken.to_string(), "P-ERR is broken: Eof at byte 2: no");
    }
}
