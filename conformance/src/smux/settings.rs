//! The settings that a case names, as a configuration of ours.

use std::time::Duration;

use serde_json::{Map, Value};
use trunkline_core::mux::Side;
use trunkline_core::smux::{Config, ConfigError, Version};

use crate::case::{Check, unknown};
use crate::report::Verdict;

/// What a case's `config` makes of `config`, for the end `side`.
///
/// A key may begin with the name of the end that it is for. An error of the configuration itself is
/// an outcome, and comes back as one.
///
/// # Errors
///
/// [`Verdict::NotRun`] for a setting that is not known here.
pub fn apply(
    settings: &Map<String, Value>,
    side: Side,
    mut config: Config,
) -> Check<Result<Config, ConfigError>> {
    let (own, other) = match side {
        Side::Client => ("client_", "server_"),
        Side::Server => ("server_", "client_"),
    };
    for (key, value) in settings {
        if key.starts_with(other) {
            continue;
        }
        let number = || {
            value
                .as_u64()
                .ok_or_else(|| Verdict::NotRun(format!("the setting `{key}` is no number")))
        };
        let size = || number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        match key.strip_prefix(own).unwrap_or(key) {
            "version" => match Version::new(u8::try_from(number()?).unwrap_or(u8::MAX)) {
                Ok(version) => config.version = version,
                Err(error) => return Ok(Err(error)),
            },
            "role" | "note" => {}
            "keepalive" => config.keep_alive = value.as_bool().unwrap_or(true),
            "keepalive_disabled" => config.keep_alive = !value.as_bool().unwrap_or(false),
            "interval_ms" | "keepalive_interval_ms" => {
                config.keep_alive_interval = Duration::from_millis(number()?);
            }
            "timeout_ms" | "keepalive_timeout_ms" => {
                config.keep_alive_timeout = Duration::from_millis(number()?);
            }
            "max_frame_size" => config.max_frame_size = size()?,
            "max_receive_buffer" => config.max_receive_buffer = size()?,
            "max_stream_buffer" => config.max_stream_buffer = size()?,
            "next_id_base" => config.id_base = Some(u32::try_from(number()?).unwrap_or(u32::MAX)),
            _ => return Err(unknown("config", key)),
        }
    }
    // The original's cases with a tiny buffer have streams' buffers to fit it.
    if !settings.keys().any(|key| key.ends_with("max_stream_buffer")) {
        config.max_stream_buffer = config.max_stream_buffer.min(config.max_receive_buffer.max(1));
    }
    Ok(config.check().map(|()| config))
}
