//! Sets of bytes, looked up in a table: heads are looked at byte by byte, several times each.

/// A set of bytes.
pub(super) struct Class([bool; 256]);

impl Class {
    /// The bytes for which `has` says so; evaluated at compile time.
    pub(super) const fn new(bytes: &[bool; 256]) -> Self {
        Self(*bytes)
    }

    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

/// Makes a [`Class`] of a pattern of bytes.
macro_rules! class {
    ($($pattern:tt)*) => {{
        const TABLE: [bool; 256] = {
            let mut table = [false; 256];
            let mut rest = table.as_mut_slice();
            let mut byte = 0u8;
            while let Some((first, more)) = rest.split_first_mut() {
                *first = matches!(byte, $($pattern)*);
                byte = byte.wrapping_add(1);
                rest = more;
            }
            table
        };
        $crate::tunnel::class::Class::new(&TABLE)
    }};
}

pub(super) use class;
