//! What an agent tells about the machine it runs on.

use trunkline_tokio::tunnel::AgentInfo;

/// What of the tunnel's own abilities is told beside the machine's facts.
#[derive(Clone, Debug)]
pub(super) struct Abilities {
    pub(super) http: bool,
    pub(super) shell: bool,
    pub(super) forwards: Vec<String>,
}

/// The document, as it is now.
pub(super) fn document(abilities: &Abilities) -> Vec<u8> {
    let mut json = machine().to_json();
    // Readers of the original skip what they do not know.
    json.pop();
    let ours = serde_json::json!({
        "http": abilities.http, "shell": abilities.shell, "forwards": abilities.forwards,
    });
    json.extend_from_slice(b",\"trunkline\":");
    json.extend_from_slice(ours.to_string().as_bytes());
    json.push(b'}');
    json
}

fn machine() -> AgentInfo {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let workdir = std::env::current_dir().unwrap_or_default();
    let (disk_total, disk_free) = rustix::fs::statvfs(&workdir)
        .map(|disk| (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize))
        .unwrap_or_default();
    AgentInfo {
        hostname: text(uname.nodename()),
        os: std::env::consts::OS.to_owned(),
        platform: value(&release, "ID", '=').unwrap_or_default(),
        platform_version: value(&release, "VERSION_ID", '=').unwrap_or_default(),
        kernel_arch: text(uname.machine()),
        cpu_model_name: value(&cpu, "model name", ':').unwrap_or_default(),
        cpu_count_logical: std::thread::available_parallelism()
            .map_or(0, |count| i64::try_from(count.get()).unwrap_or(0)),
        memory_total: value(&memory, "MemTotal", ':')
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib.saturating_mul(1024)),
        disk_total,
        disk_free,
        agent_version: concat!("trunkline/", env!("CARGO_PKG_VERSION")).to_owned(),
        workdir: workdir.to_string_lossy().into_owned(),
        ..AgentInfo::default()
    }
}

/// The first value of a name in lines of names and values.
fn value(text: &str, name: &str, between: char) -> Option<String> {
    let mut each = text.lines().filter_map(|line| line.split_once(between));
    let (_, value) = each.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches('"').to_owned())
}
