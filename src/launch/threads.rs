//! Threads of this process: no start-up, no isolation. For built-in models and for quick looks.

use crate::files::{Iteration, Member, Members};
use crate::launch::crew::{self, Lane};
use crate::launch::{LaunchError, Launcher, Means, Watch, trials, workers};
use crate::steps::Run;
use crate::steps::member::{self, Options, Outcome};

/// Open files of a lane at most: log, its copy, the watched process, what is read or written meanwhile.
pub(super) const FILES: usize = 8;

/// Members run in threads of this process.
#[derive(Debug)]
pub struct Threads {
    /// How many, and the stop flag
    pub means: Means,
}

impl Launcher for Threads {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        if run.dir.leaderless() {
            return trials::threads(run, &self.means, watch);
        }
        let mut means = self.means.clone();
        means.workers = workers::that_fit(means.workers, FILES, watch);
        // One run for all: to open it reads and hashes the files that its model is made from.
        crew::carry(run, watch, &means, |number| {
            Ok(Box::new(Thread { run, options: means.of_lane(number) }) as Box<dyn Lane + '_>)
        })
    }
}

struct Thread<'a> {
    run: &'a Run,
    options: Options,
}

impl Lane for Thread<'_> {
    fn members(
        &mut self,
        iteration: Iteration,
        members: &Members,
        each: &(dyn Fn(Member, &Outcome) + Sync),
    ) -> Result<(), LaunchError> {
        Ok(member::run(self.run, iteration, members, &self.options, each)?)
    }
}
