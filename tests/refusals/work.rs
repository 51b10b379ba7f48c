//! Work that has to go through beside all that is refused: packages are installed, with the scripts that
//! they bring, from what lies in the workspace.

use crate::scene::{Scene, as_everyone};

/// Packs a package with a program and a script that runs when it is installed, needs it, and has it installed by
/// the lock file.
const NPM: &str = "set -e; mkdir -p part/bin whole
printf '{\"name\":\"part\",\"version\":\"1.0.0\",\"bin\":{\"part\":\"bin/part.js\"},\
\"scripts\":{\"postinstall\":\"touch made\"}}' > part/package.json
printf '#!/usr/bin/env node\\nconsole.log(6 * 7)\\n' > part/bin/part.js; chmod +x part/bin/part.js
cd part; npm pack --silent --offline > /dev/null; mv part-1.0.0.tgz ../whole; cd ../whole
printf '{\"name\":\"whole\",\"version\":\"1.0.0\",\"dependencies\":{\"part\":\"file:part-1.0.0.tgz\"},\
\"scripts\":{\"test\":\"part\"}}' > package.json
npm install --silent --offline --no-audit --no-fund; rm -r node_modules
npm ci --silent --offline --no-audit --no-fund; test -e node_modules/part/made; npm test --silent";

/// Packs a wheel, installs it into an environment of its own and runs the program that it brings.
const PIP: &str = "set -e; python3 wheel.py; python3 -m venv own
own/bin/pip install --quiet --disable-pip-version-check --no-index --find-links . part
own/bin/part";

const WHEEL: &str = "import zipfile
info = 'part-1.0.dist-info/'
files = {
    'part.py': 'def main():\\n    print(6 * 7)\\n',
    info + 'METADATA': 'Metadata-Version: 2.1\\nName: part\\nVersion: 1.0\\n',
    info + 'WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
    info + 'entry_points.txt': '[console_scripts]\\npart = part:main\\n',
}
files[info + 'RECORD'] = ''.join(f'{name},,\\n' for name in [*files, info + 'RECORD'])
with zipfile.ZipFile('part-1.0-py3-none-any.whl', 'w') as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
";

/// Whether the tool that this needs can be run at all, without us. It need not be on every machine.
fn is_here(scene: &Scene, words: &[&str]) -> bool {
    let mut command = scene.command(words[0]);
    let there = command.args(&words[1..]).output();
    let there = there.is_ok_and(|output| output.status.success());
    if !there {
        println!("not tried: `{}` does not run here", words.join(" "));
    }
    there
}

#[track_caller]
fn goes_through(scene: &Scene, script: &str, found: &[&str]) {
    let ran = scene.run(&["sh", "-c", script]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "42\n");
    assert_eq!(scene.refusals(), found);
}

#[test]
fn npm_installs_what_a_lock_file_names_and_runs_its_scripts() {
    as_everyone(|scene| {
        if is_here(scene, &["npm", "--version"]) {
            // Whoever installs the new package outside runs its script there.
            goes_through(scene, NPM, &["persistence/planted"]);
        }
    });
}

#[test]
fn pip_installs_a_wheel_into_an_environment_of_its_own() {
    as_everyone(|scene| {
        if is_here(scene, &["python3", "-c", "import ensurepip, venv"]) {
            scene.write("home/work/wheel.py", WHEEL);
            goes_through(scene, PIP, &[]);
        }
    });
}
