//! The choices of `[algorithm]` in the run's copy: defaults that follow from other choices, and what each means.
//!
//! Belongs here: which keys a reader of the run folder should see, and a few words for each choice.
//! Not here: reading them (`algorithm`), the other tables (`copy`).

use toml_edit::{DocumentMut, Item, Table, Value};

use super::algorithm::UNSCENTED;
use super::dds::SEARCHES;

/// A few words for a choice: (key, value, words); the value `*` is any that has no words of its own.
const WORDS: &[(&str, &str, &str)] = &[
    ("method", "etki", "ensemble transform: deterministic; at T = 1 the spread is the posterior's"),
    ("method", "eki", "ensemble inversion: members see their own draws of the observation"),
    ("method", "gnki", "Gauss and Newton: the prior counts in each step, of which one may be enough"),
    ("method", "sparse-eki", "ensemble inversion with a limit on the sum of magnitudes"),
    ("method", "eks", "ensemble Kalman sampler: the posterior for many members as T grows"),
    ("method", "aldi", "affine-invariant sampler: the posterior as T grows, also with few members"),
    ("method", "utki", "unscented, in the space of its points: members are placed, not drawn"),
    ("method", "uki", "unscented: members are placed, not drawn"),
    ("method", "forward", "a batch of models: nothing is updated"),
    ("method", "dds", "one best point, moved in fewer and fewer coordinates; generations"),
    ("method", "dds-async", "the same, by workers that share a folder and wait for nobody"),
    ("boundary", "reflect", "steps beyond a bound are mirrored"),
    ("boundary", "absorb", "every other step beyond a bound ends on it"),
    ("selection", "best", "trials start from the best one"),
    ("selection", "pool", "trials start from the best of three out of a pool; for comparison"),
    ("selection", "crowding", "trials start from lonely points of the archive"),
    ("selection", "hypervolume", "trials start from points of the archive that hold much volume alone"),
    ("selection", "uniform", "trials start from any point of the archive"),
    ("scheduler", "data-misfit", "each step as long as the misfits allow, until T"),
    ("scheduler", "fixed", "all steps have the same length"),
    ("scheduler", "mutable", "`ekp-init --extend step=X RUN` sets the length of the steps to come"),
    ("scheduler", "eks-stable", "short steps where the data pull hard"),
    ("on_terminate", "stop", "the run ends at T"),
    ("on_terminate", "continue", "steps go on after T, and the data count again"),
    ("on_terminate", "continue-fixed", "steps go on after T with the last length, and the data count again"),
    ("momentum", "nesterov", "steps go on in the direction of the last; the spread is not the posterior's"),
    ("momentum", "first-order", "steps go on in the direction of the last by 1 - r/(k + 2)"),
    ("momentum", "constant", "steps go on in the direction of the last by a constant share"),
    ("inflation", "prior-damping", "multiplicative with rate 0.001 min(1, 1/step)"),
    ("inflation", "multiplicative", "after each step the covariance times 1/(1 - rate step)"),
    ("inflation", "additive", "after each step noise, rate step/(1 - rate step) times a covariance"),
    ("inflation_covariance", "initial", "that of the first ensemble"),
    ("inflation_covariance", "current", "that of the ensemble itself"),
    ("failed_members", "redraw", "failed members are drawn anew from the Gaussian of the others"),
    ("failed_members", "reweight", "failed points are left out, the others weigh more"),
    ("failed_members", "ignore", "a missing number refuses the step"),
    ("draws", "exact", "draws as large as the posterior needs"),
    ("draws", "peer", "draws as large as those of EKP.jl"),
    ("sigma_points", "symmetric", "the centre, and two points for each parameter"),
    ("sigma_points", "simplex", "the centre, and the corners of a simplex"),
    ("group_steps", "common", "all groups take the same step"),
    ("group_steps", "own", "each group as far as its own misfits allow, until its own T"),
    ("group_points", "own", "one group's points at a time, the others at their centre"),
    (
        "group_points",
        "shared",
        "the points of all groups at the same time: as many members as the largest needs",
    ),
    ("prior_weight", "once", "the posterior is the fixed point for steps of 1"),
    ("prior_weight", "twice", "as EKP.jl 2.7.1: the fixed point has the prior's precision twice"),
    ("impose_prior", "true", "the prior counts in each step, and the limit is its balance with the data"),
    ("impose_prior", "false", "the prior counts through the first ensemble alone"),
    ("momentum", "none", "each step starts where the last one ended"),
    ("momentum_factor", "*", "share of the last step that goes on"),
    ("momentum_r", "*", "r of the share 1 - r/(k + 2)"),
    ("inflation", "none", "the spread is what the data leave"),
    ("inflation_rate", "*", "rate of the inflation, for each unit of pseudo-time"),
    ("nugget", "0.0", "nothing is added to the diagonal of covariances"),
    ("nugget", "*", "added to the diagonal of covariances"),
    ("terminate_at", "1.0", "T: the data count once"),
    ("terminate_at", "*", "T: the data count so many times"),
    ("step", "*", "length of each step in pseudo-time"),
    ("numerator", "*", "a of the step a / norm of the drift between members"),
    ("perturb", "true", "each member sees its own draw of the observation"),
    ("perturb", "false", "all members see the same observation: the spread is too small"),
    ("localisation", "{ rule = \"none\" }", "all covariances count, accidental ones too"),
    ("members", "*", "as many as the method places"),
    ("modified_transform", "true", "the mean is the value at the centre"),
    ("modified_transform", "false", "the mean is that of all points"),
    ("alpha_reg", "1.0", "the mean is not pulled back to the prior's"),
    ("alpha_reg", "*", "the mean is pulled back to the prior's at each step"),
    ("update_freq", "0", "the evolution's covariance stays of the prior's size"),
    ("update_freq", "*", "after so many predictions the evolution follows the covariance"),
    ("r", "*", "step of a search, as a share of a parameter's range"),
    ("p_min", "*", "a parameter moves with this probability at least"),
    ("storm", "*", "so many failures in a row end the search"),
    ("claim_size", "*", "trials that share a lease and an outcome"),
    ("form", "*", "what localisation changes: the gain, or the covariances"),
    ("alpha", "*", "a correlation c becomes c |c|^alpha"),
    ("cutoff", "*", "correlations no larger become 0"),
    ("delta_ug", "*", "noise taken from correlations of parameters and outputs"),
    ("delta_gg", "*", "noise taken from correlations of outputs"),
    ("std", "peer", "chance has (1 - c)/sqrt(J), as in EKP.jl"),
    ("std", "theory", "chance has (1 - c^2)/sqrt(J - 1)"),
    ("threshold", "*", "limited parameters no larger become 0"),
    ("jitter", "*", "variance of noise put on limited parameters"),
    ("scaling", "consistent", "data weigh with their noise over the step, as everywhere"),
    ("scaling", "peer", "data weigh with their noise, as in EKP.jl"),
];

/// The same for the other tables: (table, key, value, words).
const TABLES: &[(&str, &str, &str, &str)] = &[
    ("model", "pack", "1", "each member has an outcome of its own"),
    ("model", "pack", "*", "so many members share an outcome"),
    ("failures", "retries", "*", "further tries of a member that failed, with the same parameters"),
    ("failures", "quorum", "*", "share of the members that must give data; with fewer the run stops"),
    ("failures", "lost", "rerun", "members that left nothing are run again"),
    ("failures", "lost", "fail", "members that left nothing have failed"),
    ("failures", "nan_tolerance", "0.0", "a member with one NaN has failed"),
    ("failures", "nan_tolerance", "*", "share of NaN that a block of a member may hold"),
    ("layout", "first_iteration", "*", "number of the first iteration"),
    ("files", "keep", "all", "tries keep their folders"),
    ("files", "keep", "failed", "tries that failed keep their folders"),
    ("files", "keep", "last", "the last try keeps its folder"),
    ("files", "outputs", "auto", "few numbers as TOML, many in data.npy"),
    ("files", "outputs", "toml", "numbers stand in data.toml"),
    ("files", "outputs", "npy", "numbers stand in data.npy"),
    ("inputs", "chunk", "*", "models that share an outcome"),
    ("inputs", "check", "*", "every so many models one is run twice and compared"),
    ("outputs", "quantiles", "*", "shares below which quantiles lie"),
    ("outputs", "merged", "true", "all outputs in one array, too"),
    ("outputs", "merged", "false", "outputs stay in their chunks"),
];

/// Defaults that depend on what else stands in the table: keys with TOML values, in order.
pub(super) fn defaults(method: &str, algorithm: &Item, members: u32) -> Vec<(&'static str, String)> {
    if method == "forward" {
        return Vec::new();
    }
    let word = |key: &str| algorithm.get(key).and_then(Item::as_str);
    let imposed = algorithm.get("impose_prior").and_then(Item::as_bool) == Some(true);
    let own = UNSCENTED.contains(&method);
    let sampler = matches!(method, "eks" | "aldi");
    let text = |word: &str| format!("\"{word}\"");
    let mut all = Vec::new();
    let mut add = |key, value: String| all.push((key, value));
    if SEARCHES.contains(&method) {
        add("r", "0.2".into());
        add("p_min", "0.0".into());
        add("boundary", text("reflect"));
        add("storm", "50".into());
        if method == "dds-async" {
            add("claim_size", "1".into());
        }
        return all;
    }
    if own {
        add("members", members.to_string());
        add("sigma_points", text("symmetric"));
        add("modified_transform", "true".into());
    }
    if matches!(method, "etki" | "eki") || own {
        add("impose_prior", "false".into());
    }
    match (own, imposed) {
        (true, true) => add("prior_weight", text("once")),
        (true, false) => {
            add("alpha_reg", "1.0".into());
            add("update_freq", "0".into());
        }
        (false, _) if !sampler => {
            add("momentum", text("none"));
            match word("momentum") {
                Some("constant") => add("momentum_factor", "0.9".into()),
                Some("first-order") => add("momentum_r", "3.0".into()),
                _ => {}
            }
            add("inflation", text(if imposed && method == "eki" { "prior-damping" } else { "none" }));
            if word("inflation") == Some("additive") {
                add("inflation_covariance", text("initial"));
            }
        }
        _ => {}
    }
    if !matches!(method, "etki" | "utki") {
        add("nugget", "0.0".into());
    }
    if algorithm.get("group").is_some() {
        add("group_steps", text("common"));
        if own {
            add("group_points", text("own"));
        }
    }
    let usual = if own && imposed { "fixed" } else { super::algorithm::scheduler(method) };
    add("scheduler", text(usual));
    match word("scheduler").unwrap_or(usual) {
        "fixed" | "mutable" => add("step", "1.0".into()),
        "eks-stable" => add("numerator", "1.0".into()),
        _ => {
            add("terminate_at", "1.0".into());
            add("on_terminate", text("stop"));
        }
    }
    add("failed_members", text(if own { "reweight" } else { "redraw" }));
    if method == "gnki" {
        add("draws", text("exact"));
    }
    if matches!(method, "eki" | "gnki" | "sparse-eki") {
        add("localisation", "{ rule = \"none\" }".into());
        let none = matches!(word("momentum"), None | Some("none"));
        add("perturb", none.to_string());
    }
    all
}

/// A few words behind each choice that has no comment, or none but that it is the default.
pub(super) fn explain(document: &mut DocumentMut) {
    let own = |key: &str, value: &str| {
        let of = |v: &str| WORDS.iter().find(|(k, w, _)| *k == key && *w == v).map(|(.., words)| *words);
        of(value).or_else(|| of("*"))
    };
    if let Some(algorithm) = document.get_mut("algorithm").and_then(Item::as_table_mut) {
        put(algorithm, &own);
    }
    for name in ["model", "failures", "layout", "files", "inputs", "outputs"] {
        let words = |key: &str, value: &str| {
            let of = |v: &str| {
                TABLES.iter().find(|(t, k, w, _)| *t == name && *k == key && *w == v).map(|row| row.3)
            };
            of(value).or_else(|| of("*"))
        };
        if let Some(table) = document.get_mut(name).and_then(Item::as_table_mut) {
            put(table, &words);
        }
    }
}

/// Words behind the values of a table and of those within it.
fn put(table: &mut Table, words: &dyn Fn(&str, &str) -> Option<&'static str>) {
    for (key, item) in table.iter_mut() {
        if let Some(inner) = item.as_table_mut() {
            put(inner, words);
            continue;
        }
        let Some(value) = item.as_value_mut() else { continue };
        let shown = value.as_str().map_or_else(|| bare(value), str::to_owned);
        let Some(words) = words(&key, &shown) else { continue };
        let suffix = value.decor().suffix().and_then(|s| s.as_str()).unwrap_or_default().to_owned();
        match suffix.trim() {
            // Members that a person asked for are not placed by the method.
            "" if key == "members" => {}
            "" => value.decor_mut().set_suffix(format!("  # {words}")),
            "# default" => value.decor_mut().set_suffix(format!("  # default: {words}")),
            _ => {}
        }
    }
}

/// A value as TOML, without what stands around it.
fn bare(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::algorithm;
    use crate::experiment::dds::SEARCHES;
    use crate::experiment::run_copy;
    use crate::experiment::task::METHODS;
    use crate::files::human::Document;

    const HEAD: &str = "[prior]\nfile = \"p\"\n[observation]\nfile = \"o\"\n[algorithm]\n";

    fn read(text: &str) -> algorithm::Algorithm {
        let document = Document::parse("experiment.toml".as_ref(), text).unwrap();
        let section = document.section().section("algorithm").unwrap().unwrap();
        algorithm::read(&section).unwrap()
    }

    #[test]
    fn written_defaults_are_those_that_are_read() {
        for method in METHODS.iter().filter(|m| **m != "forward" && !SEARCHES.contains(m)) {
            for more in [
                "",
                "impose_prior = true\n",
                "momentum = \"constant\"\n",
                "momentum = \"first-order\"\n",
                "inflation = \"additive\"\ninflation_rate = 0.1\n",
                "scheduler = \"mutable\"\n",
                "scheduler = \"eks-stable\"\n",
                "scheduler = \"data-misfit\"\n",
            ] {
                let sampler = matches!(*method, "eks" | "aldi");
                let own = UNSCENTED.contains(method);
                let refused = ((sampler || matches!(*method, "gnki" | "sparse-eki"))
                    && more.starts_with("impose"))
                    || ((sampler || own) && (more.starts_with("mom") || more.starts_with("infl")));
                if refused {
                    continue;
                }
                let members = if own { "" } else { "members = 20\n" };
                let limit = if *method == "sparse-eki" { "sparse = { limit = 2.0 }\n" } else { "" };
                let text = format!("{HEAD}method = \"{method}\"\niterations = 3\n{members}{limit}{more}");
                let before = read(&text);
                let copy = run_copy(&text, 5);
                let after = read(&copy);
                assert_eq!(before.kalman, after.kalman, "{copy}");
                assert_eq!(after.members, if own { 5 } else { 20 });
                // Made again it stays as it is
                assert_eq!(run_copy(&copy, 5), copy);
            }
        }
    }

    #[test]
    fn choices_are_explained_and_a_persons_comments_stay() {
        let text =
            format!("{HEAD}method = \"aldi\"\nmembers = 20\niterations = 3\nscheduler = \"fixed\"  # mine\n");
        let copy = run_copy(&text, 20);
        assert!(copy.contains("method = \"aldi\"  # affine-invariant sampler: "), "{copy}");
        assert!(copy.contains("scheduler = \"fixed\"  # mine\n"), "{copy}");
        assert!(copy.contains("failed_members = \"redraw\"  # default: failed members"), "{copy}");
    }

    #[test]
    fn no_default_lacks_words() {
        let tables = [
            "",
            "[algorithm.localisation]\nrule = \"sec\"\n",
            "[algorithm.localisation]\nrule = \"sec-nice\"\n",
        ];
        for method in METHODS {
            for more in [
                "",
                "impose_prior = true\n",
                "momentum = \"constant\"\n",
                "momentum = \"first-order\"\n",
                "inflation = \"additive\"\n",
                "scheduler = \"fixed\"\n",
                "scheduler = \"eks-stable\"\n",
                "group = \"a\"\n",
            ] {
                for table in tables {
                    let head = HEAD.replace("[observation]\nfile = \"o\"\n", "[sites]\n");
                    let sparse =
                        if *method == "sparse-eki" { "[algorithm.sparse]\nlimit = 2.0\n" } else { "" };
                    let copy = run_copy(&format!("{head}method = \"{method}\"\n{more}{table}{sparse}"), 5);
                    let bare: Vec<&str> = copy.lines().filter(|line| line.ends_with("# default")).collect();
                    assert!(bare.is_empty(), "{method}: {bare:?}");
                    copy.parse::<DocumentMut>().unwrap();
                    assert_eq!(run_copy(&copy, 5), copy, "made again it stays as it is");
                }
            }
        }
    }
}
