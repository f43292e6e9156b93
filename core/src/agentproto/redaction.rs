//! What a recording keeps back: `docs/protocols/agentproto.md` section 12.

use alloc::format;
use alloc::string::String;
use bytes::Bytes;

use super::frame::{ExecRequest, Frame, LogRecord};
use super::record::Record;
use crate::Payload;

/// What stands in the place of a text that is kept back.
const REDACTED: &str = "[redacted]";

/// What of the commands and their bytes a recording keeps back.
///
/// What is left has the same shape: as many arguments, the names of the variables without their
/// values, a text in the place of each payload that says how long it was. Paths and working
/// directories, names of files, exit codes, times and the texts of failures stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// Arguments of commands, the first included, and log records that show them.
    pub arguments: bool,
    /// Values of environment variables; in arguments those of `NAME=value` whose name is not
    /// empty and begins with no dash, which a remote `env` takes for variables, and in log records
    /// all that show arguments.
    pub environment: bool,
    /// Bytes of streams, and of files in requests and answers.
    pub payloads: bool,
}

impl Redaction {
    /// Everything that can be kept back is.
    pub const ALL: Self = Self { arguments: true, environment: true, payloads: true };

    /// Whether nothing is kept back.
    #[must_use]
    pub const fn is_none(self) -> bool {
        !(self.arguments || self.environment || self.payloads)
    }

    /// Redacts a command.
    pub fn exec(self, exec: &mut ExecRequest) {
        for argument in exec.argv.iter_mut().flatten() {
            if self.arguments {
                *argument = REDACTED.into();
            } else if self.environment {
                redact_variable(argument, false);
            }
        }
        if self.environment {
            for variable in exec.env.iter_mut().flatten() {
                redact_variable(variable, true);
            }
        }
    }

    /// Redacts a frame of any type.
    pub fn frame(self, frame: &mut Frame) {
        self.payload(&mut frame.data);
        if let Some(exec) = &mut frame.exec {
            self.exec(exec);
        }
        if let Some(log) = &mut frame.log {
            self.log(log);
        }
        if let Some(request) = &mut frame.file_request {
            self.payload(&mut request.data);
        }
        if let Some(response) = &mut frame.file_response {
            self.payload(&mut response.data);
        }
    }

    /// Redacts a record of any type, as one that was written without a redaction.
    pub fn record(self, record: &mut Record) {
        if let Some(start) = &mut record.command_start {
            self.exec(&mut start.exec);
        }
        if let Some(frame) = &mut record.frame {
            self.frame(&mut frame.frame);
        }
    }

    fn payload(self, payload: &mut Payload) {
        if self.payloads && !payload.is_empty() {
            let text = format!("[redacted: {} bytes]", payload.len());
            *payload = Bytes::from(text).into();
        }
    }

    fn log(self, log: &mut LogRecord) {
        for attribute in &mut log.attributes {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            // Names of groups stand before the key (section 11), or around it in the value.
            let name = key.rsplit('.').next().unwrap_or_default();
            let mut inside = value.split([' ', '[', '.']).filter_map(|word| word.split_once('='));
            if self.hides(name) || inside.any(|(name, _)| self.hides(name)) {
                *attribute = format!("{key}={REDACTED}");
            }
        }
    }

    /// Whether what a log record says under this name is kept back.
    fn hides(self, name: &str) -> bool {
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        // Variables for a remote `env` are arguments.
        (self.arguments || self.environment) && is(&["argv", "args", "arguments", "cmdline"])
            || self.environment && is(&["env", "environ", "environment"])
            || self.payloads && is(&["data", "payload"])
    }
}

/// Takes the value out of a `NAME=value`; with `any` whatever the name is.
fn redact_variable(text: &mut String, any: bool) {
    let Some((name, value)) = text.split_once('=') else { return };
    // As wide as what `--env` takes: a remote `env` sets variables of any such name.
    let is_name = !name.is_empty() && !name.starts_with('-');
    if (any || is_name) && !value.is_empty() {
        *text = format!("{name}={REDACTED}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const ARGUMENTS: Redaction = Redaction { arguments: true, ..NONE };
    const ENVIRONMENT: Redaction = Redaction { environment: true, ..NONE };
    const NONE: Redaction = Redaction { arguments: false, environment: false, payloads: false };

    fn exec(argv: &[&str], env: &[&str]) -> ExecRequest {
        let list = |texts: &[&str]| Some(texts.iter().map(|text| (*text).into()).collect());
        let (argv, env) = (list(argv), list(env));
        ExecRequest { path: "/bin/p".into(), cwd: "/d".into(), argv, env, fds: vec![3] }
    }

    fn redacted(redaction: Redaction, exec: &ExecRequest) -> ExecRequest {
        let mut exec = exec.clone();
        redaction.exec(&mut exec);
        exec
    }

    #[test]
    fn arguments_keep_their_number_and_variables_their_names() {
        let plain = exec(&["p", "--key=1", "A=2", ""], &["HOME=/h", "HOME=/i", "ODD", "E="]);
        assert_eq!(redacted(NONE, &plain), plain);
        let hidden = [REDACTED; 4];
        assert_eq!(
            redacted(ARGUMENTS, &plain),
            exec(&hidden, &["HOME=/h", "HOME=/i", "ODD", "E="])
        );
        let env = ["HOME=[redacted]", "HOME=[redacted]", "ODD", "E="];
        assert_eq!(
            redacted(ENVIRONMENT, &plain),
            exec(&["p", "--key=1", "A=[redacted]", ""], &env)
        );
        assert_eq!(redacted(Redaction::ALL, &plain), exec(&hidden, &env));
    }

    #[test]
    fn arguments_that_env_takes_for_variables_are_hidden_whatever_their_name() {
        let plain = exec(&["env", "a.b=2", "my-app.key=s=t", "1=x", "=y", "-u=z"], &[]);
        let hidden =
            ["env", "a.b=[redacted]", "my-app.key=[redacted]", "1=[redacted]", "=y", "-u=z"];
        assert_eq!(redacted(ENVIRONMENT, &plain), exec(&hidden, &[]));
    }

    #[test]
    fn lists_that_are_not_there_stay_away() {
        let exec = ExecRequest::default();
        assert_eq!(redacted(Redaction::ALL, &exec), exec);
    }

    #[test]
    fn log_records_that_show_arguments_or_variables_are_redacted() {
        let shown = |redaction: Redaction, attribute: &str| {
            let mut log = LogRecord { attributes: vec![attribute.into()], ..LogRecord::default() };
            redaction.log(&mut log);
            log.attributes.remove(0)
        };
        for attribute in ["argv=[p s]", "g.argv=[p s]", "ARGV=s", "cmd=[path=p argv=[p s]]"] {
            for redaction in [ARGUMENTS, ENVIRONMENT, Redaction::ALL] {
                let shown = shown(redaction, attribute);
                let key = attribute.split('=').next().unwrap_or_default();
                assert_eq!(shown, format!("{key}=[redacted]"));
            }
        }
        assert_eq!(shown(ENVIRONMENT, "env=[A=1]"), "env=[redacted]");
        assert_eq!(shown(ENVIRONMENT, "path=env"), "path=env");
        for attribute in ["env=[A=1]", "path=/bin/argv", "path=argv", "pid=7", "env_keep=2"] {
            assert_eq!(shown(ARGUMENTS, attribute), attribute);
        }
    }

    #[test]
    fn payloads_say_how_long_they_were() {
        let mut frame = Frame::data(1, b"secret".to_vec());
        Redaction::ALL.frame(&mut frame);
        assert_eq!(frame.data.into_bytes(), "[redacted: 6 bytes]");
        let mut frame = Frame::eof(1);
        Redaction::ALL.frame(&mut frame);
        assert_eq!(frame, Frame::eof(1));
        let none: Vec<&Bytes> = frame.data.pieces().collect();
        assert!(none.is_empty());
    }
}
