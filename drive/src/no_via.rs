//! Stands in for processes that lead to an agent, where there are none.

use std::task::{Context, Poll};

/// A process that cannot exist.
#[derive(Debug)]
pub(crate) enum Launched {}

impl Launched {
    pub(crate) fn poll_exit(&mut self, _: &mut Context<'_>) -> Poll<i32> {
        match *self {}
    }

    pub(crate) fn terminate(&self) {
        match *self {}
    }

    pub(crate) fn tree_runs(&self) -> bool {
        match *self {}
    }

    pub(crate) fn kill(&self) {
        match *self {}
    }
}
