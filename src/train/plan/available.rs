//! How much memory this process may still take.

use std::fs::read_to_string;

/// MiB that are free: what the system can hand out without swapping, or less where a control group sets a limit. None
/// where the system does not say (it is asked on Linux only).
pub fn available_mib() -> Option<f64> {
    let free = meminfo(&read_to_string("/proc/meminfo").ok()?)?;
    let group = |limit: &str, used: &str| limited(&read_to_string(limit).ok()?, &read_to_string(used).ok()?);
    let limit = group("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current").or_else(|| {
        let folder = "/sys/fs/cgroup/memory/memory";
        group(&format!("{folder}.limit_in_bytes"), &format!("{folder}.usage_in_bytes"))
    });
    Some(limit.map_or(free, |limit| free.min(limit)))
}

/// `MemAvailable` of /proc/meminfo.
fn meminfo(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// What a control group leaves; none for `max`.
fn limited(limit: &str, used: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    Some(((number(limit)? - number(used)?) / f64::from(1 << 20)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        assert_eq!(meminfo("MemTotal:  100 kB\nMemAvailable:   2048 kB\n"), Some(2.0));
        assert_eq!(meminfo("MemTotal: 100 kB\n"), None);
        assert_eq!(limited("max\n", "1048576\n"), None);
        assert_eq!(limited("3145728\n", "1048576\n"), Some(2.0));
    }
}
