//! What the kernel knows of a process: CPU time and memory, from `/proc`.

use std::fs;
use std::time::Duration;

/// The kernel counts CPU time for user space in hundredths of a second (USER_HZ), on every Linux
/// architecture we build for.
const TICK: Duration = Duration::from_millis(10);

struct Stat {
    parent: u32,
    own_ticks: u64,
    children_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields follow its last parenthesis (proc(5)).
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        children_ticks: number(13)? + number(14)?,
    })
}

/// The process and its living children.
fn family(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let mut all = vec![pid];
    all.extend(pids.filter(|p| stat(*p).is_some_and(|s| s.parent == pid)));
    all
}

/// CPU time of a process, its children that have ended, and those that live.
pub(crate) fn cpu(pid: u32) -> Duration {
    let ended = stat(pid).map_or(0, |s| s.children_ticks);
    let living: u64 = family(pid)
        .into_iter()
        .filter_map(stat)
        .map(|s| s.own_ticks)
        .sum();
    TICK * u32::try_from(ended + living).unwrap_or(u32::MAX)
}

/// Peak memory of a single process in octets (VmHWM).
pub(crate) fn peak_memory(pid: u32) -> u64 {
    kib(&format!("/proc/{pid}/status"), "VmHWM:")
}

/// Memory of a process and its children now, in octets; what they share counts once (Pss).
pub(crate) fn family_memory(pid: u32) -> u64 {
    family(pid)
        .into_iter()
        .map(|p| kib(&format!("/proc/{p}/smaps_rollup"), "Pss:"))
        .sum()
}

fn kib(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(key))
        .and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
    value.unwrap_or(0) * 1024
}
