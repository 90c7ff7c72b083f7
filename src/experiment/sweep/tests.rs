//! Which cases a sweep has, and what makes none.

use super::*;

const HEAD: &str = "schema = \"ekp.sweep\"\nversion = 1\nname = \"s\"\nexperiment = \"e.toml\"\n";

fn read(more: &str, platform: Option<&str>) -> Result<Sweep, String> {
    let document = Document::parse("sweep.toml".as_ref(), &format!("{HEAD}{more}")).unwrap();
    Sweep::read(&document, "/x".as_ref(), platform).map_err(|e| e.to_string())
}

#[test]
fn axes_make_every_combination_the_last_one_fastest() {
    let sweep = read(
        "names = \"{model}_np{workers}\"\n[set]\nalgorithm.members = 8\nlaunch.on = \"threads\"\n\
         [[axis]]\nname = \"model\"\n[axis.options.hbv]\n\"model.builtin\" = \"hbv\"\n[axis.options.gr4j]\nexperiment = \"g.toml\"\n\
         [[axis]]\nname = \"workers\"\nvalues = [1, 2]\nsets = \"launch.workers\"\n\
         [platform.hpc]\naxis.workers = [1, 16]\n",
        None,
    )
    .unwrap();
    let names: Vec<&str> = sweep.cases.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["hbv_np1", "hbv_np2", "gr4j_np1", "gr4j_np2"]);
    let second = &sweep.cases[1];
    assert_eq!(second.settings, ["algorithm.members=8", "model.builtin=\"hbv\""]);
    assert_eq!(
        (second.launch.workers, second.launch.on.as_str(), second.group.as_str()),
        (2, "threads", "hbv")
    );
    assert_eq!(sweep.cases[2].experiment, Path::new("/x/g.toml"));
}

#[test]
fn a_platform_has_values_and_cases_of_its_own() {
    let text = "repeats = 2\n[[axis]]\nname = \"n\"\nvalues = [1, 2]\nsets = \"launch.workers\"\n\
                [[case]]\nname = \"large\"\nplatforms = [\"hpc\"]\n[case.set]\nsite.slurm.time = \"1:00\"\n\
                [platform.hpc]\naxis.n = [64]\nset = { \"site.slurm.nodes\" = 2 }\n";
    let names =
        |platform| -> Vec<String> { read(text, platform).unwrap().cases.iter().map(Case::folder).collect() };
    assert_eq!(names(None), ["s_n1_r1", "s_n1_r2", "s_n2_r1", "s_n2_r2"]);
    assert_eq!(names(Some("hpc")), ["s_n64_r1", "s_n64_r2", "large_r1", "large_r2"]);
    let large = read(text, Some("hpc")).unwrap().cases.pop().unwrap();
    assert_eq!(large.site, ["slurm.nodes=2", "slurm.time=\"1:00\""]);
    assert!(read(text, Some("hcp")).unwrap_err().contains("no platform `hcp`"));
}

#[test]
fn a_case_changes_with_the_platform_and_repeats_have_seeds_of_their_own() {
    let text = "repeats = 2\nfirst_seed = 42\n[[case]]\nname = \"pool\"\nset = { \"launch.workers\" = 4 }\n\
                on.hpc = { \"launch.workers\" = 16 }\n[platform.hpc]\n[platform.laptop]\n";
    let workers = |platform| read(text, platform).unwrap().cases[0].launch.workers;
    assert_eq!((workers(None), workers(Some("laptop")), workers(Some("hpc"))), (4, 4, 16));
    let cases = read(text, None).unwrap().cases;
    assert_eq!((cases[0].settings[0].as_str(), cases[1].settings[0].as_str()), ("seed=42", "seed=43"));
    let away = "[[case]]\nname = \"large\"\nplatforms = [\"hpc\"]\n[platform.hpc]\n";
    assert!(read(away, None).unwrap().cases.is_empty(), "none here is no fault");
}

#[test]
fn what_makes_no_sweep_is_refused() {
    for (text, why) in [
        ("", "no cases"),
        (
            "names = \"a{x}\"\n[[axis]]\nname = \"n\"\nvalues = [1]\nsets = \"launch.workers\"\n",
            "no such axis",
        ),
        ("[[axis]]\nname = \"n\"\nvalues = [1]\n", "sets"),
        (
            "names = \"same\"\n[[axis]]\nname = \"n\"\nvalues = [1, 2]\nsets = \"seed\"\n",
            "names of their own",
        ),
        ("[[axis]]\nname = \"n\"\nvalues = [0]\nsets = \"launch.workers\"\n", "cannot be this"),
        ("schedule = \"hybrid\"\n[[case]]\nname = \"a\"\n", "at_once"),
        ("[[case]]\nname = \"../a\"\n", "cannot be a name"),
    ] {
        let error = read(text, None).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}
