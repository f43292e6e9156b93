//! The document in which an agent tells about itself: `docs/protocols/agent-tunnel.md` section 8.

use alloc::string::String;
use alloc::vec::Vec;

use super::MetaError;
use super::json::{Kind, Reader, names};
use super::meta::{Size, fields};
use super::quote::{number, quote};

/// What an agent tells about itself, as far as a relay shows it.
///
/// The original's agents send more, in structures that are not read here, or less: then a field is
/// empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// The name of its machine.
    pub hostname: String,
    /// The operating system: `linux`, `darwin`.
    pub os: String,
    /// The distribution: `debian`.
    pub platform: String,
    /// Its version.
    pub platform_version: String,
    /// The kernel's architecture: `x86_64`.
    pub kernel_arch: String,
    /// The processor.
    pub cpu_model_name: String,
    /// Processors, as the operating system counts them.
    pub cpu_count_logical: i64,
    /// Memory, in bytes.
    pub memory_total: u64,
    /// The disk of the working directory, in bytes.
    pub disk_total: u64,
    /// What is free on it, in bytes.
    pub disk_free: u64,
    /// The agent's version.
    pub agent_version: String,
    /// The version of what the original's agent runs.
    pub opencode_version: String,
    /// The working directory.
    pub workdir: String,
}

impl AgentInfo {
    /// The JSON document, with the original's fields in its order.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        text("{\"hostname\":", &self.hostname, &mut json);
        text(",\"os\":", &self.os, &mut json);
        text(",\"platform\":", &self.platform, &mut json);
        text(",\"platform_version\":", &self.platform_version, &mut json);
        text(",\"kernel_arch\":", &self.kernel_arch, &mut json);
        text(",\"cpu_model_name\":", &self.cpu_model_name, &mut json);
        json.extend_from_slice(b",\"cpu_count_logical\":");
        number(self.cpu_count_logical, &mut json);
        json.extend_from_slice(b",\"memory_total\":");
        number(self.memory_total, &mut json);
        json.extend_from_slice(b",\"disk_total\":");
        number(self.disk_total, &mut json);
        json.extend_from_slice(b",\"disk_free\":");
        number(self.disk_free, &mut json);
        text(",\"agent_version\":", &self.agent_version, &mut json);
        text(",\"opencode_version\":", &self.opencode_version, &mut json);
        text(",\"workdir\":", &self.workdir, &mut json);
        json.push(b'}');
        json
    }

    /// Reads a document; a known field of a wrong type is as if it were not there, and so is all
    /// that nobody knows.
    ///
    /// # Errors
    ///
    /// Where it is no JSON object, or breaks a limit of metadata.
    pub fn from_json(document: &[u8]) -> Result<Self, MetaError> {
        let mut info = Self::default();
        let mut size = Size::default();
        fields(document, |reader, key| {
            let texts = [
                ("hostname", &mut info.hostname),
                ("os", &mut info.os),
                ("platform", &mut info.platform),
                ("platform_version", &mut info.platform_version),
                ("kernel_arch", &mut info.kernel_arch),
                ("cpu_model_name", &mut info.cpu_model_name),
                ("agent_version", &mut info.agent_version),
                ("opencode_version", &mut info.opencode_version),
                ("workdir", &mut info.workdir),
            ];
            if let Some((_, to)) = texts.into_iter().find(|(field, _)| names(&key, field)) {
                return match reader.kind()? {
                    Kind::Text => size.keep(Some(reader.text()?), to),
                    _ => reader.skip(),
                };
            }
            let sizes = [
                ("memory_total", &mut info.memory_total),
                ("disk_total", &mut info.disk_total),
                ("disk_free", &mut info.disk_free),
            ];
            if let Some((_, to)) = sizes.into_iter().find(|(field, _)| names(&key, field)) {
                return whole(reader, to);
            }
            if names(&key, "cpu_count_logical") {
                return whole(reader, &mut info.cpu_count_logical);
            }
            reader.skip()
        })?;
        Ok(info)
    }
}

fn text(key: &str, value: &str, json: &mut Vec<u8>) {
    json.extend_from_slice(key.as_bytes());
    quote(value.as_bytes(), json);
}

fn whole<T: core::str::FromStr>(reader: &mut Reader<'_>, to: &mut T) -> Result<(), MetaError> {
    if reader.kind()? != Kind::Number {
        return reader.skip();
    }
    let digits = core::str::from_utf8(reader.number()?).unwrap_or_default();
    if let Ok(value) = digits.parse() {
        *to = value;
    }
    Ok(())
}
