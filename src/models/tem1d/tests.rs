//! Acceptance: closed forms, reference responses of an independent method, the same bits alone and in a batch.

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::numerics::complex::Complex;
use crate::numerics::special::erf;

/// μ₀
const MU0: f64 = reflect::MU0;

/// A file of reference responses; none, with a message, where there are no data.
fn data(name: &str) -> Option<String> {
    let Some(folder) = std::env::var_os("EKP_TEST_DATA") else {
        eprintln!("skipped: EKP_TEST_DATA names no data");
        return None;
    };
    Some(std::fs::read_to_string(PathBuf::from(folder).join("tem1d").join(name)).unwrap())
}

fn json(name: &str) -> Option<Value> {
    data(name).map(|text| serde_json::from_str(&text).unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn earth(case: &Value) -> Earth {
    Earth::new(numbers(&case["resistivity_ohm_m"]), numbers(&case["thickness_m"]))
}

fn geometry(system: &Value) -> Geometry {
    let number = |key: &str| system[key].as_f64().unwrap();
    let shape = if system["shape"] == "circle" {
        Shape::Circle { radius: number("a") }
    } else {
        Shape::square(number("side"))
    };
    let heights = |key| vec![(number(key), 1.0)];
    Geometry { shape, offset: (number("r"), 0.0), transmitters: heights("htx"), receivers: heights("hrx") }
}

fn moment(name: &str, quantity: Quantity, times: &[f64]) -> Moment {
    let gates = times.iter().map(|&t| (t, t)).collect();
    Moment {
        name: name.into(),
        quantity,
        waveform: Vec::new(),
        repetition: None,
        lowpass: Vec::new(),
        gates,
        scale: 1.0,
        per: Per::default(),
    }
}

/// B and dB/dt at the same times.
fn both(geometry: Geometry, times: &[f64], waveform: &[(f64, f64)]) -> System {
    let with = |m: Moment| Moment { waveform: waveform.to_vec(), ..m };
    let moments = vec![with(moment("b", Quantity::B, times)), with(moment("dbdt", Quantity::DbDt, times))];
    System::new(Setup { geometry, moments, rho: (1.0, 1000.0), accuracy: Accuracy::Accurate })
}

fn respond(system: &System, earth: &Earth) -> Vec<f64> {
    system.responses(std::slice::from_ref(earth), Width::widest()).pop().unwrap()
}

/// Largest relative error.
fn worst(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max)
}

fn times() -> Vec<f64> {
    (0..31).map(|k| 10_f64.powf(-6.0 + 4.0 * f64::from(k) / 30.0)).collect()
}

/// B and dB/dt in the centre of a circle of radius `a` on a half space (Ward & Hohmann 1988), 1 A.
fn half_space(a: f64, rho: f64, t: f64) -> (f64, f64) {
    let x = (MU0 / (4.0 * rho * t)).sqrt() * a;
    let root = std::f64::consts::PI.sqrt();
    let (b, d) = if x < 1.0 {
        // The closed form cancels: its series
        let (mut b, mut d, mut power, mut factorial) = (0.0, 0.0, x * x * x, 1.0);
        for n in 1..40 {
            let m = f64::from(n);
            let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
            b += sign * power / (factorial * (2.0 * m + 1.0) * (2.0 * m + 3.0));
            if n > 1 {
                d -= sign * power * (m - 1.0) / (factorial * (2.0 * m + 1.0));
            }
            power *= x * x;
            factorial *= m;
        }
        (8.0 / root * b, 8.0 / root * d)
    } else {
        let e = (-x * x).exp();
        let b = 3.0 / (root * x) * e + (1.0 - 1.5 / (x * x)) * erf(x);
        (b, 3.0 * erf(x) - 2.0 / root * x * (3.0 + 2.0 * x * x) * e)
    };
    (MU0 / (2.0 * a) * b, -rho / (a * a * a) * d)
}

#[test]
fn a_half_space_has_its_closed_form() {
    // Acceptance is 1e-6 of B and 1e-5 of dB/dt; a large loop on conductive ground is the hardest, as its field has hardly
    // begun to decay
    let rhos = [1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0];
    for (a, accuracy, of_b, of_rate) in [
        (2.0, Accuracy::Accurate, 1e-7, 2e-6),
        (10.0, Accuracy::Accurate, 1e-7, 2e-6),
        (20.0, Accuracy::Accurate, 1e-7, 2e-6),
        (50.0, Accuracy::Accurate, 1e-7, 2e-6),
        (10.0, Accuracy::Fast, 1e-6, 1e-5),
        (20.0, Accuracy::Fast, 1e-6, 1e-5),
        (50.0, Accuracy::Fast, 1e-6, 1e-5),
    ] {
        let geometry = Geometry {
            shape: Shape::Circle { radius: a },
            offset: (0.0, 0.0),
            transmitters: vec![(0.0, 1.0)],
            receivers: vec![(0.0, 1.0)],
        };
        let setup = Setup { accuracy, ..both(geometry, &times(), &[]).setup().clone() };
        let system = System::new(setup);
        for rho in rhos {
            let found = respond(&system, &Earth::new(vec![rho], Vec::new()));
            let (b, d): (Vec<f64>, Vec<f64>) = times().iter().map(|&t| half_space(a, rho, t)).unzip();
            let (eb, ed) = (worst(&found[..31], &b), worst(&found[31..], &d));
            assert!(eb < of_b && ed < of_rate, "a {a} rho {rho} {accuracy:?}: {eb:.1e} {ed:.1e}");
        }
    }
}

#[test]
fn layers_that_are_not_there_change_nothing() {
    let system = both(
        Geometry {
            shape: Shape::square(40.0),
            offset: (0.0, 0.0),
            transmitters: vec![(0.0, 1.0)],
            receivers: vec![(0.0, 1.0)],
        },
        &times(),
        &[],
    );
    // The reflection itself keeps the identity to round-off, wherever it is asked for
    let (whole, parts) = (
        Earth::new(vec![50.0, 5.0], vec![30.0]),
        Earth::new(vec![50.0, 50.0, 5.0, 5.0], vec![12.0, 18.0, 7.0]),
    );
    for lambda in [1e-4, 1e-2, 0.1, 1.0] {
        for s in [Complex::new(1e2, 3e2), Complex::new(1e4, 1e5), Complex::new(3e6, 1e6)] {
            let (a, b) = (reflection(&whole, lambda, s), reflection(&parts, lambda, s));
            assert!((a - b).abs() <= 1e-12 * a.abs(), "{lambda} {s:?}: {a:?} {b:?}");
        }
    }
    let one = respond(&system, &Earth::new(vec![50.0, 5.0], vec![30.0]));
    let split = respond(&system, &Earth::new(vec![50.0, 50.0, 5.0, 5.0], vec![12.0, 18.0, 7.0]));
    // Gates are sums of both signs: their weights are thousands of times the sum at the latest ones, and round-off with them
    assert!(worst(&one, &split) < 1e-8, "{:.1e}", worst(&one, &split));
    // Many layers: n and d are rescaled on the way
    let thin = Earth::new(vec![50.0; 40].into_iter().chain([5.0]).collect(), vec![0.75; 40]);
    assert!(worst(&respond(&system, &thin), &one) < 1e-8);
}

#[test]
fn reflection_agrees_with_the_reference() {
    let Some(check) = json("kernel_check.json") else { return };
    for case in check["cases"].as_array().unwrap() {
        let s = Complex::new(case["s_re"].as_f64().unwrap(), case["s_im"].as_f64().unwrap());
        let expected = numbers(&case["rTE_re"]).into_iter().zip(numbers(&case["rTE_im"]));
        for (lambda, (re, im)) in numbers(&case["lambda_per_m"]).iter().zip(expected) {
            let off = reflection(&earth(case), *lambda, s) - Complex::new(re, im);
            assert!(off.abs() < 1e-12 * re.hypot(im), "the reference has thirteen digits");
        }
    }
}

#[test]
fn step_off_and_ramps_of_six_systems_agree_with_the_reference() {
    for name in ["stepoff.json", "ramp.json"] {
        let Some(all) = json(name) else { return };
        let times = numbers(&all["times_s"]);
        for (label, system) in all["systems"].as_object().unwrap() {
            let mut made: Vec<(f64, System)> = Vec::new();
            for case in
                all["cases"].as_array().unwrap().iter().filter(|case| case["system"] == label.as_str())
            {
                let ramp = case["ramp_s"].as_f64().unwrap_or(0.0);
                if !made.iter().any(|(r, _)| *r == ramp) {
                    let waveform = if ramp > 0.0 {
                        vec![(-ramp - 1.0, 1.0), (-ramp, 1.0), (0.0, 0.0)]
                    } else {
                        Vec::new()
                    };
                    // A current that was always on: only its end bends it
                    let waveform = if ramp > 0.0 { waveform[1..].to_vec() } else { waveform };
                    made.push((ramp, both(geometry(system), &times, &waveform)));
                }
                let system = &made.iter().find(|(r, _)| *r == ramp).unwrap().1;
                let found = respond(system, &earth(case));
                let errors =
                    (worst(&found[..31], &numbers(&case["B"])), worst(&found[31..], &numbers(&case["dBdt"])));
                // dB/dt of the largest loop on the ground, at the first gate: the weights of 41 Laplace variables
                let of_rate = if label == "S6_ground_r50" { 5e-6 } else { 1e-6 };
                assert!(errors.0 < 1e-7 && errors.1 < of_rate, "{name} {label} {ramp}: {errors:?}");
            }
        }
    }
}

#[test]
fn random_earths_agree_with_the_reference_and_so_does_the_slow_way() {
    let Some(text) = data("random3layer.csv") else { return };
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let geometry = Geometry {
        shape: Shape::Circle { radius: 10.0 },
        offset: (0.0, 0.0),
        transmitters: vec![(1.0, 1.0)],
        receivers: vec![(1.0, 1.0)],
    };
    let system = both(geometry, &times(), &[]);
    for (k, row) in rows.iter().enumerate() {
        let earth = Earth::new(row[..3].to_vec(), row[3..5].to_vec());
        let found = respond(&system, &earth);
        assert!(
            worst(&found[..31], &row[5..36]) < 2e-7 && worst(&found[31..], &row[36..67]) < 5e-7,
            "earth {k}"
        );
        if k % 16 == 0 {
            assert!(worst(&system.reference(&earth), &row[5..67]) < 1e-6, "earth {k}, by contours");
        }
    }
}

#[test]
fn waveforms_filters_and_repetition_agree_with_the_reference() {
    let Some(all) = json("waveform.json") else { return };
    for case in all["cases"].as_array().unwrap() {
        let waveform =
            numbers(&case["waveform_time_s"]).into_iter().zip(numbers(&case["waveform_amp"])).collect();
        let moment = Moment {
            waveform,
            repetition: case["base_frequency_hz"].as_f64(),
            lowpass: numbers(&case["lowpass_hz"]),
            ..moment("z", Quantity::DbDt, &numbers(&case["times_s"]))
        };
        let setup = Setup {
            geometry: geometry(&case["system"]),
            moments: vec![moment],
            rho: (1.0, 1000.0),
            accuracy: Accuracy::Accurate,
        };
        let (system, expected) = (System::new(setup), numbers(&case["dBdt"]));
        let error = worst(&respond(&system, &earth(case)), &expected);
        assert!(error < 1e-5, "{error:.1e}");
        let slow = worst(&system.reference(&earth(case)), &expected);
        assert!(slow < 1e-4, "{slow:.1e}: 400 half periods, the tail averaged");
    }
}

#[test]
fn a_dual_moment_system_of_the_toolkit_gives_the_reference_sounding() {
    let Some(all) = json("dual_moment.json") else { return };
    let text = include_str!("systems/dual_moment.toml");
    let document = crate::files::human::Document::parse(Path::new("dual_moment"), text).unwrap();
    let system = System::new(read::system(&document).unwrap());
    assert_eq!(system.setup().moments[0].unit(), "V/(A m²)");
    for case in all["cases"].as_array().unwrap() {
        let found = respond(&system, &earth(case));
        let expected: Vec<f64> =
            ["LM_dBdt", "HM_dBdt"].iter().flat_map(|key| numbers(&case[key])).map(|x| -x).collect();
        assert!(worst(&found, &expected) < 1e-5, "{:.1e}", worst(&found, &expected));
    }
}

#[test]
fn the_default_system_gives_the_reference_of_the_program_it_is_taken_from() {
    let Some(all) = json("tem1d_default_system.json") else { return };
    let text = include_str!("systems/default.toml");
    let document = crate::files::human::Document::parse(Path::new("default"), text).unwrap();
    let system = System::new(read::system(&document).unwrap());
    for case in all["cases"].as_array().unwrap() {
        let tops = numbers(&case["depth_top_m"]);
        let thickness = tops.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let found = respond(&system, &Earth::new(numbers(&case["resistivity_ohm_m"]), thickness));
        // The error of 41 Laplace variables
        assert!(worst(&found[..41], &numbers(&case["ref_step"])) < 1e-6);
        let impulse: Vec<f64> = found[41..].iter().map(|x| -x).collect();
        assert!(worst(&impulse, &numbers(&case["ref_impulse"])) < 5e-6);
    }
}

#[test]
fn induced_polarisation_agrees_with_the_reference_through_its_change_of_sign() {
    let Some(all) = json("cole_cole.json") else { return };
    let times = numbers(&all["times_s"]);
    for case in all["cases"].as_array().unwrap() {
        let mut earth = earth(case);
        let parts = [numbers(&case["chargeability"]), numbers(&case["tau_s"]), numbers(&case["c"])];
        earth.polarisation = (0..earth.resistivity.len())
            .map(|i| ColeCole { m: parts[0][i], tau: parts[1][i], c: parts[2][i] })
            .collect();
        let system = both(geometry(&case["system"]), &times, &[]);
        let found = respond(&system, &earth);
        let expected = [numbers(&case["B"]), numbers(&case["dBdt"])];
        for (q, expected) in expected.iter().enumerate() {
            for i in 0..31_usize {
                let beside = expected[i.saturating_sub(1)].abs().max(expected[(i + 1).min(30)].abs());
                let allowed = (1e-5 * expected[i].abs()).max(2e-6 * beside);
                assert!((found[31 * q + i] - expected[i]).abs() < allowed, "{q} gate {i}");
            }
        }
    }
}

#[test]
fn derivatives_agree_with_the_reference() {
    let Some(all) = json("derivatives.json") else { return };
    let times = numbers(&all["times_s"]);
    for case in all["cases"].as_array().unwrap() {
        // Early gates that see nothing of a layer need the wide range: 41 Laplace variables leave 7e-6 of dB/dt
        let system = System::over(both(geometry(&case["system"]), &times, &[]).setup().clone(), true);
        let all = system.derivatives(&[earth(case)], Width::widest()).remove(0);
        let plain = respond(&system, &earth(case));
        let (gates, by) = all.split_at(plain.len());
        assert_eq!(gates, plain, "the gates are those without derivatives");
        let twin = system.derivatives_one_by_one(&earth(case));
        for (column, (found, expected)) in by.chunks(62).zip(twin[62..].chunks(62)).enumerate() {
            for (i, (a, b)) in found.iter().zip(expected).enumerate() {
                let allowed = 1e-6 * b.abs() + 1e-7 * plain[i].abs();
                assert!((a - b).abs() < allowed, "column {column} gate {i}: {a:e} {b:e}");
            }
        }
        let n = earth(case).resistivity.len();
        let mut columns: Vec<(usize, f64, &Value)> =
            case["dlnsigma"].as_array().unwrap().iter().enumerate().map(|(i, d)| (i, -1.0, d)).collect();
        columns.extend(case["dlnthk"].as_array().unwrap().iter().enumerate().map(|(i, d)| (n + i, 1.0, d)));
        columns.push((2 * n - 1, 1.0, &case["dhtx"]));
        for (column, sign, expected) in columns {
            for (i, expected) in numbers(&expected["dBdt"]).iter().enumerate() {
                let off = (sign * by[62 * column + 31 + i] - expected).abs();
                assert!(
                    off <= 1e-5 * expected.abs() + 1e-6 * plain[31 + i].abs(),
                    "column {column} gate {i}: {off:e} {expected:e}"
                );
            }
        }
    }
}

#[test]
fn an_earth_has_the_same_bits_alone_in_a_batch_and_at_every_width() {
    let system = both(
        Geometry {
            shape: Shape::Circle { radius: 10.0 },
            offset: (0.0, 0.0),
            transmitters: vec![(1.0, 1.0)],
            receivers: vec![(1.0, 1.0)],
        },
        &times(),
        &[],
    );
    let draw = crate::numerics::Streams::new(7);
    let earths: Vec<Earth> = (0..20)
        .map(|k| {
            let z = crate::numerics::standard_normals(&mut draw.at(crate::numerics::Purpose::Model, 0, k), 5);
            Earth::new(
                z[..3].iter().map(|z| 30.0 * (0.5 * z).exp()).collect(),
                z[3..].iter().map(|z| 20.0 * z.abs() + 1.0).collect(),
            )
        })
        .collect();
    let polarised = |earth: &Earth| Earth {
        polarisation: vec![ColeCole { m: 0.3, tau: 1e-3, c: 0.5 }; 3],
        ..earth.clone()
    };
    let thin = |earth: &Earth| Earth::new(earth.resistivity[..2].to_vec(), vec![0.01 * earth.thickness[0]]);
    let one = |earth: &Earth| Earth::new(earth.resistivity[..1].to_vec(), Vec::new());
    for earths in [
        earths.clone(),
        earths.iter().map(polarised).collect(),
        earths.iter().map(thin).collect(),
        earths.iter().map(one).collect(),
    ] {
        let batch = system.responses(&earths, Width::widest());
        let slopes = earths[0].polarisation.is_empty().then(|| system.derivatives(&earths, Width::widest()));
        for width in Width::all() {
            for (k, expected) in slopes.iter().flatten().enumerate().step_by(3) {
                assert_eq!(expected[..batch[k].len()], batch[k]);
                assert_eq!(system.derivatives(&earths[k..=k], width)[0], *expected, "{width:?}");
            }
            // Alone an earth fills the lanes in another way than among others
            for (earth, expected) in earths.iter().zip(&batch) {
                assert_eq!(system.responses(std::slice::from_ref(earth), width)[0], *expected, "{width:?}");
            }
            assert_eq!(system.responses(&earths[..11], width), batch[..11], "{width:?}");
        }
    }
}

#[test]
fn a_system_file_is_refused_with_what_is_allowed() {
    let head = "schema = \"ekp.tem1d\"\nversion = 1\n[loop]\nradius = 10.0\n[[moment]]\nname = \"z\"\n";
    for (more, why) in [
        ("", "lacks `gates`"),
        ("gates = [0.0]\n", "after the current has ended"),
        ("gates = [1e-5]\nwaveform = { time = [0.0, 1.0], amplitude = [1.0, 1.0] }\n", "does not end"),
        (
            "gates = [2.0]\nrepetition = 25.0\nwaveform = { time = [0.0, 1.0], amplitude = [1.0, 0.0] }\n",
            "half a period",
        ),
        ("gates = [1e-5]\nlowpass = [-1.0]\n", "cut-off"),
        ("open = [2e-5]\nclose = [1e-5]\n", "later than its own"),
        ("gates = [1e-5]\nquantty = \"b\"\n", "quantity"),
    ] {
        let text = format!("{head}{more}");
        let document = crate::files::human::Document::parse(Path::new("system.toml"), &text).unwrap();
        let error = read::system(&document).unwrap_err();
        let said = format!(
            "{}\n{}\n{:?}",
            error.title(),
            error.picture(false),
            crate::explain::Explain::hint(&error)
        );
        assert!(said.contains(why), "{more}: {said}");
    }
}
