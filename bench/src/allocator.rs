//! An allocator that counts, for whoever makes it the program's own.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

static COUNTS: AtomicBool = AtomicBool::new(false);
static BLOCKS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, which counts blocks and bytes once [`start`] was called.
///
/// Until then it costs one load a call.
#[derive(Debug)]
pub struct Counting;

/// Counts from here on.
pub fn start() {
    COUNTS.store(true, Ordering::SeqCst);
}

/// Blocks asked for since [`start`]; one that is made larger counts again.
#[must_use]
pub fn blocks() -> u64 {
    BLOCKS.load(Ordering::SeqCst)
}

/// Bytes asked for and not given back since [`start`].
#[must_use]
pub fn held() -> i64 {
    HELD.load(Ordering::SeqCst)
}

/// The most that [`held`] was since the last [`forget_most`].
#[must_use]
pub fn most() -> i64 {
    MOST.load(Ordering::SeqCst)
}

/// Lets [`most`] begin anew with what is held now.
pub fn forget_most() {
    MOST.store(held(), Ordering::SeqCst);
}

fn note(blocks: u64, bytes: i64) {
    if COUNTS.load(Ordering::Relaxed) {
        BLOCKS.fetch_add(blocks, Ordering::Relaxed);
        let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST.fetch_max(held, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are the system's allocator's.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are the system's allocator's.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: the caller's promises are the system's allocator's.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    // SAFETY: the caller's promises are the system's allocator's.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}
