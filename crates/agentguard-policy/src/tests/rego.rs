//! The tests that stand beside the shipped rules.

use std::fs;
use std::path::Path;

use regorus::{Engine, Value};

use crate::ast;

#[test]
fn every_test_of_the_shipped_policies_passes() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies"));
    let mut engine = Engine::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "rego")
        {
            let text = fs::read_to_string(&path).unwrap();
            engine.add_policy(path.display().to_string(), text).unwrap();
        }
    }
    let mut names = Vec::new();
    for module in engine.get_modules().iter() {
        let package = module.package.refr.span().text().to_owned();
        let heads = ast::heads(module);
        let tests = heads.iter().filter(|head| head.name.starts_with("test_"));
        names.extend(tests.map(|head| format!("data.{package}.{}", head.name)));
    }
    assert!(names.len() > 25, "{names:?}");
    let mut failed = Vec::new();
    for name in names {
        match engine.eval_rule(name.clone()) {
            Ok(value) if value == Value::from(true) => {}
            Ok(value) => failed.push(format!("{name}: {value}")),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
