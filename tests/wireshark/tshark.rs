// SPDX-License-Identifier: MPL-2.0
//! Runs tshark with the dissector, and reads what it says.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// tshark with the dissector.
pub struct Tshark {
    directory: tempfile::TempDir,
}

/// What tshark shows of a packet: values by the names of their fields.
pub struct Packet(BTreeMap<String, Vec<String>>);

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/wireshark")
}

impl Tshark {
    /// `None` if it is not installed, and the tests may do without.
    pub fn find() -> Option<Tshark> {
        let installed = Command::new("tshark").arg("--version").output();
        if !installed.is_ok_and(|output| output.status.success()) {
            let text = "tshark is not installed: `sudo apt install tshark` (Debian, Ubuntu)";
            assert!(std::env::var_os("CI").is_none(), "{text}");
            eprintln!("SKIPPED: {text}");
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        Some(Tshark { directory })
    }

    /// What tshark prints of a trace. From another directory than the dissector's: that must
    /// not matter.
    fn run(&self, trace: &[u8], arguments: &[&str]) -> String {
        let script = contrib().join("stmf-proxy.lua");
        let script = format!("lua_script:{}", script.display());
        self.run_plain(trace, &[&["-X", &script], arguments].concat())
    }

    /// What tshark prints of a trace, with the dissector among the plugins of the user.
    pub fn run_with_plugin(&self, trace: &[u8], arguments: &[&str]) -> String {
        let plugins = self.directory.path().join(".local/lib/wireshark/plugins");
        let parts = plugins.join("stmf-proxy");
        std::fs::create_dir_all(&parts).expect("directories can be made");
        for (from, to) in [(contrib(), plugins), (contrib().join("stmf-proxy"), parts)] {
            for entry in std::fs::read_dir(from).expect("it is there") {
                let entry = entry.expect("it can be listed");
                if entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "lua")
                {
                    std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
                }
            }
        }
        self.run_plain(trace, arguments)
    }

    fn run_plain(&self, trace: &[u8], arguments: &[&str]) -> String {
        let path = self.directory.path().join("trace.pcapng");
        std::fs::write(&path, trace).expect("the trace can be written");
        let output = Command::new("tshark")
            // Nothing of the user's own settings and plugins.
            .env("HOME", self.directory.path())
            .env("XDG_CONFIG_HOME", self.directory.path())
            .current_dir(self.directory.path())
            .args(["-n", "-r"])
            .arg(&path)
            .args(arguments)
            .output()
            .expect("tshark can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8(output.stdout).expect("tshark prints UTF-8");
        assert!(output.status.success(), "tshark {arguments:?}: {said}");
        for text in [
            "Lua Error",
            "Lua:",
            "Dissector bug",
            "error in the dissector",
        ] {
            assert!(!said.contains(text), "tshark {arguments:?}: {said}");
            if let Some(at) = shown.find(text) {
                let line = shown[..at].rfind('\n').unwrap_or(0);
                let rest: String = shown[line..].chars().take(400).collect();
                panic!("tshark {arguments:?}: {rest}");
            }
        }
        shown
    }

    /// The fields of the dissector, packet by packet.
    pub fn packets(&self, trace: &[u8], arguments: &[&str]) -> Vec<Packet> {
        let json = [
            &["-T", "json", "--no-duplicate-keys", "-J", "stmf"],
            arguments,
        ]
        .concat();
        let shown = self.run(trace, &json);
        let packets: Vec<Value> = serde_json::from_str(&shown).expect("tshark prints JSON");
        let mut found = Vec::with_capacity(packets.len());
        for packet in &packets {
            let mut fields = BTreeMap::new();
            gather(&packet["_source"]["layers"], &mut fields);
            found.push(Packet(fields));
        }
        found
    }

    /// The first value of each of these fields, packet by packet.
    pub fn rows(&self, trace: &[u8], fields: &[&str], arguments: &[&str]) -> Vec<Vec<String>> {
        let mut all = vec!["-T", "fields", "-E", "occurrence=f"];
        all.extend(arguments);
        for field in fields {
            all.extend(["-e", field]);
        }
        let shown = self.run(trace, &all);
        let row = |line: &str| line.split('\t').map(str::to_owned).collect();
        shown.lines().map(row).collect()
    }
}

/// Collects all fields, however deep they are.
fn gather(value: &Value, fields: &mut BTreeMap<String, Vec<String>>) {
    let Value::Object(object) = value else {
        return;
    };
    for (name, value) in object {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        for value in values {
            match value {
                Value::String(text) => fields.entry(name.clone()).or_default().push(text.clone()),
                // The expert information of a field is an object of the name of its own.
                deeper => {
                    fields.entry(name.clone()).or_default();
                    gather(deeper, fields);
                }
            }
        }
    }
}

impl Packet {
    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The only value of a field; `None` if there is none.
    pub fn value(&self, name: &str) -> Option<&str> {
        match self.0.get(name).map(Vec::as_slice) {
            Some([only]) => Some(only),
            Some(several) => panic!("{name}: {} values", several.len()),
            None => None,
        }
    }

    /// The only value of a field, as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.value(name)?;
        let number = match (text.strip_prefix("0x"), text) {
            (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
            (None, "True") => Some(1),
            (None, "False") => Some(0),
            (None, digits) => digits.parse().ok(),
        };
        Some(number.unwrap_or_else(|| panic!("{name}: {text} is not a number")))
    }
}
