//! Access to clock, randomness and disk. The only traits that exist for testing.

pub(crate) mod clock;
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod fake_disk;
#[cfg(debug_assertions)]
mod fault;
pub(crate) mod private;
pub(crate) mod vitals;

mod ids;
mod replace;

pub use clock::{Clock, SystemClock};
pub(crate) use disk::{Disk, DiskFile, SystemDisk};
pub(crate) use ids::IdSource;
pub(crate) use replace::replace;
pub(crate) use vitals::Vitals;

/// 64 random bits from the operating system.
///
/// # Panics
/// Never in practice: `getrandom` on Linux cannot fail once the pool is initialised; without randomness we must not go on.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system's random source works")
}
