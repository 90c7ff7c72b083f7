//! `[algorithm]` of the methods whose ensemble is drawn: ETKI, EKI, GNKI, sparse EKI, EKS, ALDI.

use super::schedule::schedule;
use crate::experiment::localisation::{self, Named};
use crate::experiment::{groups, sparse};
use crate::explain::{Marked, plain};
use crate::files::human::{Section, Value};
use crate::kalman::{
    Draws, FailureRule, Inflation, Kalman, Momentum, OnTerminate, Process, Rate, Schedule, Sigma,
};
use crate::numerics::{Mat, linalg};

/// EKI with an imposed prior gives back so much spread at each step unless the file says otherwise, as EKP.jl does.
const EKI_RATE: f64 = 1e-3;

/// The keys of the ensemble methods in `[algorithm]`; `named` gathers the parameters that they name.
pub(super) fn read(
    section: &Section<'_>,
    method: &str,
    members: u32,
    warnings: &mut Vec<String>,
    named: &mut Named,
) -> Result<Kalman, Marked> {
    let momentum = momentum(section)?;
    let nugget = section.number("nugget", "zero or a positive number", |x| x >= 0.0)?.unwrap_or(0.0);
    let impose_prior = section.opt("impose_prior")?.unwrap_or(false);
    // Momentum would carry the noise of one step into all that follow.
    let perturbed =
        || -> Result<bool, Marked> { Ok(section.opt("perturb")?.unwrap_or(momentum == Momentum::None)) };
    let process = match method {
        "eki" => Process::Eki { perturbed: perturbed()? },
        "gnki" => {
            let peer = section.choice("draws", &["exact", "peer"])? == Some("peer");
            Process::Gnki { perturbed: perturbed()?, draws: if peer { Draws::Peer } else { Draws::Exact } }
        }
        "sparse-eki" => Process::Sparse { perturbed: perturbed()? },
        "eks" => Process::Eks,
        "aldi" => Process::Aldi,
        _ => Process::Etki,
    };
    let schedule = schedule(section, scheduler(method))?;
    if let (Process::Gnki { .. }, Schedule::Fixed { step } | Schedule::Mutable { step }) =
        (process, &schedule)
        && *step > 1.0
    {
        let label = format!("found {}, allowed: above 0, at most 1 with `gnki`", plain(*step));
        return Err(section.wrong("step", "`step` is out of range", label));
    }
    let localisation = localisation::read(section, method, members, named)?;
    let groups = groups::read(section, named)?;
    let own_steps = groups::own_steps(section, !groups.is_empty())?;
    let sparse = if method == "sparse-eki" { sparse::read(section, named)? } else { Default::default() };
    let inflation = inflation(section, method == "eki" && impose_prior, &schedule, named)?;
    let fits = impose_prior && matches!(process, Process::Eki { perturbed: true });
    if !fits && section.keys().any(|k| k == "perturb_prior") {
        let label = "it belongs to `eki` with `impose_prior = true` and `perturb = true`";
        return Err(section.wrong("perturb_prior", "`perturb_prior` has no use here", label));
    }
    let perturb_prior = fits && section.opt("perturb_prior")?.unwrap_or(false);
    let failures = match section.choice("failed_members", &["redraw", "ignore"])? {
        Some("ignore") => FailureRule::Ignore,
        _ => FailureRule::Redraw,
    };
    if members < 10 {
        warnings.push(format!("{members} members are few: 10 or more give a usable covariance"));
    }
    if matches!(process, Process::Eki { perturbed: false }) {
        warnings.push("`eki` without perturbed observations: the spread collapses too fast, do not read it as uncertainty".into());
    }
    if matches!(process, Process::Sparse { .. }) && matches!(schedule, Schedule::Fixed { .. }) {
        warnings
            .push("`sparse-eki` with steps of fixed length: the data count once for each step of 1".into());
    }
    if let Schedule::DataMisfit { terminate_at, on_terminate: OnTerminate::Stop } = schedule
        && terminate_at.is_finite()
        && (impose_prior || process.samples())
    {
        let what = if impose_prior {
            "with `impose_prior` the mean tends to the posterior's maximum"
        } else {
            "a sampler tends to the posterior"
        };
        warnings.push(format!(
            "{what} for long pseudo-times, but this run stops at T = {}: `on_terminate = \"continue\"` goes on",
            plain(terminate_at)
        ));
    }
    Ok(Kalman {
        schedule,
        momentum,
        failures,
        nugget,
        impose_prior,
        perturb_prior,
        inflation,
        localisation,
        groups,
        own_steps,
        sparse,
        ..Kalman::new(process, members as usize)
    })
}

/// The scheduler of a method: Gauss and Newton take whole steps, samplers stable ones, others what the misfits allow.
pub(in crate::experiment) fn scheduler(method: &str) -> &'static str {
    match method {
        "gnki" => "fixed",
        "eks" | "aldi" => "eks-stable",
        _ => "data-misfit",
    }
}

/// A key that another key's word asks for.
fn belongs(section: &Section<'_>, key: &str, to: &str, this: &str) -> Result<(), Marked> {
    if section.keys().any(|k| k == key) {
        let label = format!("it belongs to {to}, this is `{this}`");
        return Err(section.wrong(key, format!("`{key}` has no use here"), label));
    }
    Ok(())
}

fn momentum(section: &Section<'_>) -> Result<Momentum, Marked> {
    const RULES: &[&str] = &["none", "nesterov", "first-order", "constant"];
    let rule = section.choice("momentum", RULES)?.unwrap_or("none");
    if rule != "constant" {
        belongs(section, "momentum_factor", "`momentum = \"constant\"`", rule)?;
    }
    if rule != "first-order" {
        belongs(section, "momentum_r", "`momentum = \"first-order\"`", rule)?;
    }
    Ok(match rule {
        "nesterov" => Momentum::Nesterov,
        "first-order" => {
            let r = section.number("momentum_r", "a number from 3 on", |r| r >= 3.0)?;
            Momentum::FirstOrder { r: r.unwrap_or(3.0) }
        }
        "constant" => {
            let share =
                section.number("momentum_factor", "a share above 0 and below 1", |f| f > 0.0 && f < 1.0)?;
            Momentum::Constant { factor: share.unwrap_or(0.9) }
        }
        _ => Momentum::None,
    })
}

/// `inflation_covariance`: whose, or a variance, variances, or rows of a covariance.
fn sigma(section: &Section<'_>, named: &mut Named) -> Result<Sigma, Marked> {
    const KEY: &str = "inflation_covariance";
    let refuse = |label: &str| Err(section.wrong(KEY, "no covariance is like that", label));
    let of = match section.node(KEY).map(|node| &node.value) {
        None | Some(Value::Text(_)) => match section.choice(KEY, &["initial", "current"])? {
            Some("current") => Sigma::Current,
            _ => Sigma::Initial,
        },
        Some(Value::Array(all)) if all.iter().any(|node| matches!(node.value, Value::Array(_))) => {
            let rows = section.opt::<Vec<Vec<f64>>>(KEY)?.unwrap_or_default();
            let d = rows.len();
            if rows.iter().any(|row| row.len() != d || row.iter().any(|x| !x.is_finite())) {
                return refuse("allowed: as many rows as columns, of finite numbers");
            }
            let matrix = Mat::from_fn(d, d, |i, j| rows[i][j]);
            let near = |i: usize, j: usize| {
                (rows[i][j] - rows[j][i]).abs() <= 1e-12 * (rows[i][i].abs() + rows[j][j].abs())
            };
            if (0..d).any(|i| (0..i).any(|j| !near(i, j))) {
                return refuse("allowed: a symmetric matrix");
            }
            let most = (0..d).map(|i| rows[i][i]).fold(0.0, f64::max);
            match (linalg::symmetric_eigen(&matrix), linalg::symmetric_root(&matrix)) {
                // Eigenvalues of a singular covariance are rounding on either side of 0
                (Ok(eigen), Ok(root)) if eigen.values.iter().all(|&x| x >= -1e-12 * most * d as f64) => {
                    Sigma::Root(root)
                }
                _ => return refuse("allowed: a matrix without negative eigenvalues"),
            }
        }
        Some(Value::Array(_)) => {
            let variances = section.opt::<Vec<f64>>(KEY)?.unwrap_or_default();
            if variances.is_empty() || variances.iter().any(|x| !(x.is_finite() && *x >= 0.0)) {
                return refuse("allowed: a variance for each parameter, zero or positive");
            }
            Sigma::Diagonal(variances)
        }
        Some(_) => match section.number(
            KEY,
            "a variance above 0, variances, rows of a covariance, `initial` or `current`",
            |x| x > 0.0,
        )? {
            Some(variance) => Sigma::Scalar(variance),
            None => Sigma::Initial,
        },
    };
    named.sizes.extend(of.parameters().map(|d| (d, section.place(KEY))));
    Ok(of)
}

fn inflation(
    section: &Section<'_>,
    damped: bool,
    schedule: &Schedule,
    named: &mut Named,
) -> Result<Inflation, Marked> {
    let rules: &[&str] = &["none", "prior-damping", "multiplicative", "additive"];
    let rule = section.choice("inflation", rules)?.unwrap_or(if damped { "prior-damping" } else { "none" });
    if rule == "prior-damping" && !damped {
        let label = "it belongs to `eki` with `impose_prior = true`; allowed here: `none`, `multiplicative`, `additive`";
        return Err(section.wrong("inflation", "`prior-damping` has no use here", label));
    }
    if !matches!(rule, "multiplicative" | "additive") {
        belongs(section, "inflation_rate", "`inflation = \"multiplicative\"` or `\"additive\"`", rule)?;
    }
    if rule != "additive" {
        belongs(section, "inflation_covariance", "`inflation = \"additive\"`", rule)?;
    }
    let rate = |section: &Section<'_>| -> Result<Rate, Marked> {
        let rate = section
            .number("inflation_rate", "a positive number", |s| s > 0.0)?
            .ok_or_else(|| section.missing("inflation_rate", "the rate s, such as 0.01"))?;
        // Steps that are known beforehand are refused beforehand.
        if let Schedule::Fixed { step } | Schedule::Mutable { step } = *schedule
            && rate * step >= 1.0
        {
            let label = format!(
                "found {}, allowed with steps of {}: below {}",
                plain(rate),
                plain(step),
                plain(1.0 / step)
            );
            return Err(section.wrong(
                "inflation_rate",
                "`inflation_rate` times `step` is 1 or more: the spread would be without bound",
                label,
            ));
        }
        Ok(Rate::Fixed(rate))
    };
    Ok(match rule {
        "multiplicative" => Inflation::Multiplicative(rate(section)?),
        "additive" => {
            let of = sigma(section, named)?;
            Inflation::Additive { rate: rate(section)?, of }
        }
        "prior-damping" => Inflation::Multiplicative(Rate::Capped(EKI_RATE)),
        _ => Inflation::None,
    })
}
