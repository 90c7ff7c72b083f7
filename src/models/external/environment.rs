//! What a model finds in its environment, and the same as text for a shell.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::models::Place;
use crate::models::external::mpi::{Mpi, is_rank_mark};
use crate::models::external::{External, LOG};

/// The variables of the contract, and those a launcher needs. Numbers are plain decimals, paths absolute.
pub(crate) fn variables(place: &Place, data: &Path, mpi: Option<&Mpi>) -> Vec<(OsString, OsString)> {
    let number = |n: u64| OsString::from(n.to_string());
    let threads = number(place.threads as u64);
    let mut all: Vec<(OsString, OsString)> = vec![
        ("EKP_RUN".into(), place.run.clone().into()),
        ("EKP_ITERATION".into(), number(place.iteration.into())),
        ("EKP_MEMBER".into(), number(place.member.into())),
        ("EKP_TRY".into(), number(place.attempt.into())),
        ("EKP_SEED".into(), number(place.seed)),
        ("EKP_PARAMETERS".into(), place.parameters.clone().into()),
        ("EKP_DATA".into(), data.into()),
        ("EKP_WORKER".into(), number(place.worker.into())),
        ("EKP_THREADS".into(), threads.clone()),
        ("OMP_NUM_THREADS".into(), threads),
    ];
    if !place.batch.is_empty() {
        all.push(("EKP_BATCH".into(), place.batch.clone().into()));
    }
    let launcher = mpi.map(Mpi::variables).unwrap_or_default();
    all.extend(launcher.into_iter().map(|(name, value)| (name.into(), value.into())));
    all
}

/// A variable of ours that a model must not inherit: it would take itself for one of our ranks.
pub(crate) fn is_ours_alone(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(is_rank_mark)
}

/// What one member does, as lines for a shell.
pub(crate) fn printable(external: &External, place: &Place) -> String {
    let data = external.data(place);
    let mut text = String::new();
    let mut line = |words: &[OsString]| {
        let words: Vec<String> = words.iter().map(|word| quoted(word.as_bytes())).collect();
        let _ = writeln!(text, "{}", words.join(" "));
    };
    let words = |list: &[&str]| list.iter().map(Into::into).collect::<Vec<OsString>>();
    line(&[words(&["mkdir", "-p", "--"]), vec![place.folder.clone().into()]].concat());
    line(&[words(&["cd", "--"]), vec![place.folder.clone().into()]].concat());
    let links = external.links().unwrap_or_default();
    for link in links.iter() {
        if let Some(parent) = link.to.parent().filter(|parent| *parent != Path::new("")) {
            line(&[words(&["mkdir", "-p", "--"]), vec![parent.into()]].concat());
        }
        line(
            &[words(&["ln", "-sfn", "--"]), vec![link.from.clone().into(), link.to.clone().into()]].concat(),
        );
    }
    let program = match external.program.lookup(&links, &external.base) {
        Ok(Some(found)) if found.is_absolute() => found,
        Ok(Some(in_folder)) => place.folder.join(in_folder),
        _ => external.program.of(place, &data, &external.base),
    };
    let args = external.command[1..].iter().map(|arg| arg.fill(place, &data));
    let (program, args) = match &external.mpi {
        None => (program, args.collect()),
        Some(mpi) => {
            // Without a launcher on this machine: as it will be where there is one.
            let rest: Vec<OsString> = args.collect();
            let plain =
                || (mpi.launcher_name().into(), [vec![program.clone().into()], rest.clone()].concat());
            mpi.wrap(&program, rest.iter().cloned(), place.threads).unwrap_or_else(|_| plain())
        }
    };
    for template in &external.templates {
        let (from, to) = (template.from.display(), template.to.display());
        let _ = writeln!(text, "# `{to}` is filled from `{from}` by ekp-run-member");
    }
    let _ = write!(text, "env");
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours_alone(name.as_bytes())) {
        let _ = write!(text, " -u {}", quoted(name.as_bytes()));
    }
    for (name, value) in variables(place, &data, external.mpi.as_ref()) {
        let _ = write!(text, " {}={} \\\n   ", name.display(), quoted(value.as_bytes()));
    }
    let _ = write!(text, " {}", quoted(program.as_os_str().as_bytes()));
    for arg in &args {
        let _ = write!(text, " {}", quoted(arg.as_bytes()));
    }
    let _ = writeln!(text, " >> {LOG} 2>&1 < /dev/null");
    text
}

/// As one word of a shell. Bytes that are no text, and zeros, cannot be pasted; they show as replaced.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    shlex::try_quote(&text).map_or_else(|_| text.replace('\0', "?"), std::borrow::Cow::into_owned)
}
