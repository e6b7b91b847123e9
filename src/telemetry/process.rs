//! The process itself, by the names that every Prometheus client gives it.
//!
//! Read from the kernel at each scrape; where it does not say, as on another system, the sample is
//! left out.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::telemetry::sheet::{Kind, Sheet};

/// Writes what the kernel says of this process, which began at `started`.
pub(super) fn write(sheet: &mut Sheet, started: SystemTime) {
    let started_s = started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    sheet.single("process_start_time_seconds", Kind::Gauge, "When the process started, since 1970", started_s);
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of processor time")]
    let cpu_s = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    sheet.single(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Processor time of the gateway without its script workers",
        cpu_s,
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(kib) = field("VmRSS") {
        sheet.single("process_resident_memory_bytes", Kind::Gauge, "Memory in use", kib * 1_024);
    }
    if let Some(kib) = field("VmSize") {
        sheet.single("process_virtual_memory_bytes", Kind::Gauge, "Memory reserved", kib * 1_024);
    }
    if let Some(threads) = field("Threads") {
        sheet.single("process_threads", Kind::Gauge, "Threads", threads);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // The one that this is read through is counted with them.
        sheet.single("process_open_fds", Kind::Gauge, "Open file descriptors", files.count());
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files_max = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<u64>().ok());
    if let Some(files_max) = files_max {
        sheet.single("process_max_fds", Kind::Gauge, "File descriptors that may be open", files_max);
    }
}
