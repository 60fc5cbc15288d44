use regorus::Value;
use std::time::Duration;
#[test]
fn adhoc() {
    let input = Value::from_json_str(&std::fs::read_to_string("/tmp/own-input.json").unwrap()).unwrap();
    let t = Duration::from_secs(5);
    for file in ["/work/shared/recipes/tools/regodiff/probes.txt", "/tmp/own.txt"] {
        for l in std::fs::read_to_string(file).unwrap().lines() {
            let name = l.split([' ', '(']).next().unwrap();
            let src = format!(
                "package portcullis\ndefault decision := \"none\"\ndecision := {name}\n{}\n",
                l.replace(";;", "\n")
            );
            let mut e = regorus::Engine::new();
            if let Err(x) = e.add_policy("p.rego".into(), src) {
                println!("PARSE {l} {}", super::engine::last_line(&x.to_string()));
                continue;
            }
            let m = e.get_modules().clone();
            let adm = super::admission::problems(&m);
            if !adm.is_empty() {
                println!("NOTADM {l}  -- {}", adm[0].text);
                continue;
            }
            let lint = super::gate::known_difference(&m);
            let i = match super::engine::Interpreter::prepare(e) {
                Ok(i) => i,
                Err(x) => {
                    println!("PREP {l} {x}");
                    continue;
                }
            };
            let a = i.evaluate(input.clone(), t);
            let b = match i.machine() {
                Ok(m) => m.evaluate(input.clone(), t),
                Err(x) => {
                    println!("NOCOMPILE {l} {x} {lint:?}");
                    continue;
                }
            };
            if a != b {
                println!(
                    "{} {l}\n      I {a:?}\n      M {b:?} {lint:?}",
                    if lint.is_none() { "!!!! GAP" } else { "linted" }
                );
            } else if lint.is_some() {
                println!("overlinted {l} {lint:?}");
            }
        }
    }
}
