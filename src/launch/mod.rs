//! Ways to carry out a plan: worker processes, a chain of Slurm jobs, a Makefile.
//!
//! Belongs here: the machine's settings, the text of scripts, talking to a scheduler.
//! Not here: knowledge of algorithms or models.

pub mod queue;
pub mod scripts;
pub mod site;
