//! The thin binary.

use std::process::ExitCode;

/// Many threads allocate and free messages; this allocator keeps them out of each other's way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    outgate::main()
}
