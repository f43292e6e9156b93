//! The original's settings, as the vectors name them.

use std::time::Duration;

use serde::Deserialize;
use trunkline_core::mux::Side;
use trunkline_core::wormhole::{Config, FrameOrder};

/// Under which profile a case is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// What the original does.
    Reference,
    /// What Trunkline requires.
    Required,
}

/// Settings that differ from the original's defaults; times in milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase", default)]
pub struct Settings {
    window_size: Option<u32>,
    max_window_size: Option<usize>,
    read_buffer_size: Option<usize>,
    accept_backlog: Option<usize>,
    keep_alive_interval: Option<u64>,
    keep_alive_timeout: Option<u64>,
    max_frame_size: Option<usize>,
    enable_flow_control: Option<bool>,
}

/// Settings of both ends: the same for both, or each its own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BothSettings {
    #[serde(flatten)]
    both: serde_json::Map<String, serde_json::Value>,
    client: Settings,
    server: Settings,
    client_next_id_base: Option<u32>,
    server_next_id_base: Option<u32>,
}

impl BothSettings {
    /// One end's configuration.
    ///
    /// # Errors
    ///
    /// What is not known here.
    pub fn config(&self, side: Side, profile: Profile) -> Result<Config, String> {
        let both: Settings = serde_json::from_value(self.both.clone().into())
            .map_err(|why| format!("`config`: {why}"))?;
        let (own, first) = match side {
            Side::Client => (&self.client, self.client_next_id_base),
            Side::Server => (&self.server, self.server_next_id_base),
        };
        let mut config = own.config(both.config(base(profile)));
        config.first_id = first;
        Ok(config)
    }
}

/// A profile with the keep-alive off, as the vectors have it where they do not say otherwise, and
/// with windows that stay as they are and streams that send in the order of their writes, as the
/// original's do: both can be told from the bytes, and neither is a matter of right or wrong.
#[must_use]
pub fn base(profile: Profile) -> Config {
    let mut config = match profile {
        Profile::Reference => Config::reference(),
        Profile::Required => Config::default(),
    };
    config.keep_alive_interval = Duration::ZERO;
    config.limits.window = config.window.try_into().unwrap_or(usize::MAX);
    config.stall_guard = Duration::ZERO;
    config.frame_order = FrameOrder::Written;
    config
}

impl Settings {
    /// `config` with these settings.
    #[must_use]
    pub fn config(&self, mut config: Config) -> Config {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut config.window, self.window_size);
        config.limits.window = config.window.try_into().unwrap_or(usize::MAX);
        set(&mut config.limits.window, self.max_window_size);
        set(&mut config.read_buffer, self.read_buffer_size);
        set(&mut config.limits.backlog, self.accept_backlog);
        set(&mut config.keep_alive_interval, self.keep_alive_interval.map(Duration::from_millis));
        set(&mut config.keep_alive_timeout, self.keep_alive_timeout.map(Duration::from_millis));
        set(&mut config.frame_size, self.max_frame_size);
        set(&mut config.flow_control, self.enable_flow_control);
        config
    }
}
