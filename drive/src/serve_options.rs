//! How an agent serves.

use std::io;
use std::sync::Arc;

use trunkline_core::agentproto::Config;
use trunkline_host::files::{FilePolicy, FileSystem};
use trunkline_host::process::User;

/// ENOSYS, the number for an operation that is not served.
const ENOSYS: u32 = if cfg!(target_os = "linux") { 38 } else { 78 };
/// EIO, the number for an error without one.
const EIO: u32 = 5;

/// How an agent serves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Limits and deviations from the original.
    pub config: Config,
    /// Whom commands run as. By default the user of `sudo`, when the agent was started with it.
    pub user: User,
    /// Whether commands are run and programs listed.
    pub commands: Commands,
    /// Whether files are served. Default: true.
    pub serve_files: bool,
    /// What the file service may do.
    pub files: FilePolicy,
    /// How many file requests are performed at once, each by a thread. Default: 8.
    pub file_workers: usize,
    /// The file system, once it was opened for all sessions.
    opened: Option<Arc<FileSystem>>,
}

/// Whether an agent runs commands and lists programs.
///
/// One that does not answers with a text that says so, and with exit code 127.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commands {
    /// Unless its files are confined to a [root](FilePolicy::root), which a command would not be.
    #[default]
    Unconfined,
    /// Whatever its files are confined to.
    Allowed,
    /// Never.
    Refused,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            config: Config::default(),
            user: User::default(),
            commands: Commands::default(),
            serve_files: true,
            files: FilePolicy::default(),
            file_workers: 8,
            opened: None,
        }
    }
}

impl ServeOptions {
    /// Opens the directory that is served now, for all sessions served with these options, and not
    /// at the first request of each: an error can be told here, and the directory stays the same
    /// whatever is renamed meanwhile. `files` is not looked at again.
    ///
    /// # Errors
    ///
    /// When [`FilePolicy::root`] cannot be opened, is no directory, or cannot be confined on this
    /// system.
    pub fn open_files(&mut self) -> io::Result<()> {
        self.opened = Some(Arc::new(FileSystem::new(self.files.clone())?));
        Ok(())
    }

    pub(crate) fn runs_commands(&self) -> bool {
        match self.commands {
            Commands::Unconfined => self.files.root.is_none(),
            Commands::Allowed => true,
            Commands::Refused => false,
        }
    }

    /// The file system to be served, or the errno and text for every request.
    pub(crate) fn files(&self) -> Result<Arc<FileSystem>, (u32, String)> {
        if !self.serve_files {
            return Err((ENOSYS, "this agent serves no files".to_string()));
        }
        if let Some(system) = &self.opened {
            return Ok(Arc::clone(system));
        }
        FileSystem::new(self.files.clone()).map(Arc::new).map_err(|error| {
            tracing::error!(%error, "files cannot be served");
            let errno = error.raw_os_error().and_then(|number| u32::try_from(number).ok());
            (errno.unwrap_or(EIO), error.to_string())
        })
    }
}
