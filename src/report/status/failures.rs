//! Failed members, grouped by cause and host: what happened, where to look, what to type.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::files::{Failed, Iteration, Member, Members, load_record};
use crate::report::runs::{typed, word};
use crate::report::status::View;
use crate::report::status::look::{Seen, last_try};
use crate::steps::Run;
use crate::steps::timing::Timing;

/// Failed members of one cause on one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    /// exit, signal, timeout, memory, output, lost, user
    pub cause: String,
    /// Where, when it is known
    pub host: Option<String>,
    /// Which: `3,7-9`
    pub members: String,
    /// How many
    pub count: usize,
    /// What was said, each message with its members
    pub messages: Vec<Message>,
    /// Last lines that the first of them printed
    pub stderr_tail: String,
    /// Record of the first
    pub record: String,
    /// Folder of its last try, if it is still there
    pub folder: Option<String>,
    /// What it printed, if that is still there
    pub log: Option<String>,
    /// Runs them again; of a closed iteration the first, publishing nothing
    pub rerun: String,
}

/// A message and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// One line
    pub message: String,
    /// Which: `3,7-9`
    pub members: String,
}

/// Failed members by cause and host.
type Groups<'a> = BTreeMap<(&'a str, Option<String>), Vec<(Member, &'a Failed)>>;

/// The failed members of an iteration, large groups first.
pub(super) fn grouped(run: &Run, view: &View, iteration: Iteration, seen: &[Seen]) -> Vec<Failures> {
    let mut groups = Groups::new();
    for (member, seen) in (1..).zip(seen) {
        if let Seen::Failed(failed) = seen {
            groups.entry((&failed.cause, host(run, iteration, member))).or_default().push((member, failed));
        }
    }
    let mut all: Vec<Failures> = groups
        .into_iter()
        .map(|((cause, host), list)| group(run, view, iteration, cause, host, &list))
        .collect();
    all.sort_by_key(|g| std::cmp::Reverse(g.count));
    all
}

fn host(run: &Run, iteration: Iteration, member: Member) -> Option<String> {
    let folder = match run.dir.packed() {
        true => run.dir.chunk(iteration, (member - 1) / run.dir.identity.pack + 1),
        false => run.dir.member(iteration, member),
    };
    load_record::<Timing>(&folder.join("timing.toml")).ok().map(|timing| timing.host)
}

fn group(
    run: &Run,
    view: &View,
    iteration: Iteration,
    cause: &str,
    host: Option<String>,
    list: &[(Member, &Failed)],
) -> Failures {
    let mut messages: Vec<(&str, Vec<Member>)> = Vec::new();
    for (member, failed) in list {
        match messages.iter_mut().find(|(message, _)| *message == failed.message) {
            Some((_, members)) => members.push(*member),
            None => messages.push((&failed.message, vec![*member])),
        }
    }
    let (first, failed) = list[0];
    let members = Members::new(list.iter().map(|(m, _)| *m).collect()).to_string();
    let folder = run.dir.member(iteration, first);
    let attempt = if run.dir.packed() { None } else { last_try(&folder) };
    let name = attempt.map(|n| format!("try_{n}"));
    let log = name.as_ref().filter(|name| folder.join(name).join("log.txt").exists());
    let shown = |file: &str| typed(&view.named, &run.dir.shown(iteration, first, file));
    let record = match run.dir.packed() {
        true => {
            let chunk = (first - 1) / run.dir.identity.pack + 1;
            typed(&view.named, &format!("{}/chunk_{chunk:06}/data.toml", run.dir.iteration_name(iteration)))
        }
        false => shown("failed.toml"),
    };
    Failures {
        cause: cause.to_owned(),
        host,
        count: list.len(),
        messages: messages
            .into_iter()
            .map(|(message, m)| Message { message: message.into(), members: Members::new(m).to_string() })
            .collect(),
        stderr_tail: failed.stderr_tail.clone(),
        record,
        folder: name.as_deref().map(shown),
        log: log.map(|name| shown(&format!("{name}/log.txt"))),
        rerun: if run.dir.update(iteration).exists() {
            // Closed: another outcome would not be read, but one may look.
            format!(
                "ekp-run-member {} -i {iteration} -m {first} --scratch /tmp/member_{first}",
                word(&view.named)
            )
        } else {
            format!("ekp-run-member {} -i {iteration} -m {members} --again", word(&view.named))
        },
        members,
    }
}
