//! Limits of a cluster, from `scontrol`.

use crate::launch::site::Walltime;

/// What `scontrol show config` says of limits; absent where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The largest index of an array is one less
    pub max_array_size: Option<u32>,
    /// Jobs in the queue, every array element counted, of all users together
    pub max_job_count: Option<u32>,
    /// Seconds after which an ended job is forgotten
    pub min_job_age_s: Option<u32>,
}

impl Limits {
    /// From the text of `scontrol show config`; what it does not say stays `None`.
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then_some(value.trim())
            })?;
            // `600 sec`
            line.split_whitespace().next()?.parse().ok()
        };
        Self {
            max_array_size: value("MaxArraySize"),
            max_job_count: value("MaxJobCount"),
            min_job_age_s: value("MinJobAge"),
        }
    }

    /// Whether so many jobs (elements counted) fit at once, with half of the queue left to others.
    pub fn fits(&self, jobs: u64) -> bool {
        self.max_job_count.is_none_or(|max| jobs <= u64::from(max) / 2)
    }
}

/// What `scontrol -o show partition` says of wall times; absent where there is no limit, or no such partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partition {
    /// What a job gets that asks for nothing
    pub default_s: Option<u64>,
    /// What a job may ask for
    pub longest_s: Option<u64>,
}

impl Partition {
    /// From a line for each partition: that of the one with this name, or of the default one.
    pub(super) fn parse(text: &str, name: Option<&str>) -> Self {
        let field = |line: &str, key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key).map(str::to_owned))
        };
        let line = text.lines().find(|line| match name {
            Some(name) => field(line, "PartitionName=").as_deref() == Some(name),
            None => field(line, "Default=").as_deref() == Some("YES"),
        });
        let time = |key: &str| Walltime::parse(&field(line?, key)?)?.0;
        let longest_s = time("MaxTime=");
        Self { default_s: time("DefaultTime=").or(longest_s), longest_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_what_scontrol_prints() {
        let text = "Configuration data as of 2026\nMaxArraySize            = 1001\nMaxJobCount             = 10000\n\
                    MinJobAge               = 600 sec\nMaxDBDMsgs = 20016\n";
        let limits = Limits::parse(text);
        let all =
            Limits { max_array_size: Some(1001), max_job_count: Some(10_000), min_job_age_s: Some(600) };
        assert_eq!(limits, all);
        assert!(limits.fits(5000) && !limits.fits(5001));
        assert_eq!(Limits::parse("nonsense"), Limits::default());
        assert!(Limits::default().fits(u64::MAX));
    }

    #[test]
    fn the_wall_times_are_those_of_the_partition_or_of_the_default_one() {
        let text = "PartitionName=main Default=YES DefaultTime=01:00:00 MaxNodes=UNLIMITED MaxTime=UNLIMITED\n\
                    PartitionName=short Default=NO DefaultTime=NONE MaxTime=1-00:02:00 MinNodes=0\n";
        let short = Partition { default_s: Some(86_520), longest_s: Some(86_520) };
        assert_eq!(Partition::parse(text, Some("short")), short);
        assert_eq!(Partition::parse(text, None), Partition { default_s: Some(3600), longest_s: None });
        assert_eq!(Partition::parse(text, Some("nope")), Partition::default());
    }
}
