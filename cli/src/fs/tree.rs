//! Going through trees for `chmod -R` and `chown -R`.

use trunkline_core::agentproto::Stat;

use super::facts::Kind;
use super::paths::join;
use super::work::{Step, work};
use super::{Session, Stop};

/// A file, with its attributes where a listing told them.
struct Job(String, Option<Stat>);

/// Does something to each file, and with `recursive` to all that is in directories: to a directory
/// before it is listed. Links met on the way are left alone: the wire could only follow them.
///
/// `act` gets the path and the attributes, if anything asked for them, and says whether it went
/// well; what went wrong it has told.
pub(crate) async fn each<F>(
    session: &Session,
    files: &[String],
    recursive: bool,
    act: impl Fn(String, Option<Stat>) -> F,
) -> Result<(), Stop>
where
    F: Future<Output = Result<bool, Stop>>,
{
    let act = &act;
    let lists = |Job(_, stat): &Job| {
        recursive && stat.as_ref().is_none_or(|stat| Kind::of(stat) == Kind::Directory)
    };
    work(files.iter().map(|file| Job(file.clone(), None)), lists, |job, _| async move {
        let Job(path, mut stat) = job;
        let named = stat.is_none();
        if recursive && named {
            match session.check(&path, session.files.stat(&*path).await)? {
                None => return Ok(Step::Failed),
                found => stat = found,
            }
        }
        let kind = stat.as_ref().map(Kind::of);
        let list = recursive && kind == Some(Kind::Directory);
        let well = act(path.clone(), stat).await?;
        if !list {
            return Ok(if well { Step::Done } else { Step::Failed });
        }
        let listed = session.files.list_dir(&*path).await;
        let Some(entries) = session.check(&path, listed)? else { return Ok(Step::Failed) };
        let entries = entries.into_iter().filter(|entry| Kind::of(entry) != Kind::Link);
        let child = |entry: Stat| Job(join(&path, &entry.name), Some(entry));
        Ok(Step::Into(entries.map(child).collect(), None))
    })
    .await
}
