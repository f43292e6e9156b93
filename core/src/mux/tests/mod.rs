//! Tests of the shared parts; those of one part alone stand beside it.

mod flow;
mod table;
mod windows;
