//! The doors to the outside: clock, randomness, disk. The only traits that exist for testing.

pub mod clock;
pub mod disk;
#[cfg(test)]
pub mod fake_disk;
#[cfg(debug_assertions)]
mod fault;
pub mod private;
pub mod vitals;

mod ids;
mod replace;

pub use clock::{Clock, SystemClock};
pub use disk::{Disk, DiskFile, SystemDisk};
pub use ids::IdSource;
pub use replace::replace;
pub use vitals::Vitals;

/// 64 random bits from the operating system.
///
/// # Panics
/// Never in practice: `getrandom` on Linux cannot fail once the pool is initialised; without randomness we must not go on.
pub fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system's random source works")
}
