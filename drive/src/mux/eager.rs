//! When a small write goes into the transport at once instead of waiting for the driver's turn.

/// Turns in which nothing is tried after one that cost a second write.
const WARY: u8 = 64;

/// Whether the next small write may be written through.
///
/// Small writes leave together, at the end of a turn: one call for a hundred answers. Where a turn
/// woke one task alone there is nothing to gather, and its answer need not wait for the driver to
/// come round. If that task then has more to say in the same turn, gathering would have been right
/// after all, and for a while nothing is tried.
#[derive(Debug, Default)]
pub(super) struct Eager {
    armed: bool,
    spent: bool,
    wary: u8,
}

impl Eager {
    /// A turn begins: what arrived woke so many tasks.
    pub(super) const fn turn(&mut self, tasks: usize) {
        self.armed = tasks == 1 && self.wary == 0;
        self.spent = false;
        self.wary = self.wary.saturating_sub(1);
    }

    /// Whether a small write may go through; a second one of the same turn may not.
    pub(super) const fn take(&mut self) -> bool {
        std::mem::replace(&mut self.armed, false)
    }

    /// One went through.
    pub(super) const fn went(&mut self) {
        self.spent = true;
    }

    /// There is more to send in this turn.
    pub(super) const fn more(&mut self) {
        self.armed = false;
        if std::mem::replace(&mut self.spent, false) {
            self.wary = WARY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_that_was_woken_alone_writes_once() {
        let mut eager = Eager::default();
        assert!(!eager.take());
        eager.turn(1);
        assert!(eager.take());
        eager.went();
        assert!(!eager.take());
        eager.turn(2);
        assert!(!eager.take());
    }

    #[test]
    fn whoever_says_more_in_a_turn_is_gathered_for_a_while() {
        let mut eager = Eager::default();
        eager.turn(1);
        assert!(eager.take());
        eager.went();
        eager.more();
        for _ in 0..WARY {
            eager.turn(1);
            assert!(!eager.take());
        }
        eager.turn(1);
        assert!(eager.take());
    }

    #[test]
    fn what_was_queued_before_the_write_is_gathered_with_it() {
        let mut eager = Eager::default();
        eager.turn(1);
        eager.more();
        assert!(!eager.take());
        eager.turn(1);
        assert!(eager.take());
    }
}
