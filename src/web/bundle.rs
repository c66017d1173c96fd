//! Joins the modules of the pages into one script, and their styles into one file: one request instead of eighty, and two thirds of
//! the compressed size. Browsers have few connections for HTTP/1.1, and request the first pictures together with the script.
//!
//! It understands only what these modules use: imports and exports by name, one statement per line or in braces, without cycles.
//! Each module becomes a function that returns what it exports, so that modules cannot see each other's other names.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Sources by path, relative to the folder of all files.
pub type Sources<'a> = BTreeMap<&'a str, &'a str>;

/// Third-party modules. They are minified, import nothing, and end with their exports.
const VENDOR: &str = "vendor/";

/// Returns a script that runs the module `entry` after all that it imports.
pub fn script(sources: &Sources, entry: &str) -> String {
    let mut bundle = Bundle { sources, joined: String::new(), names: BTreeMap::new() };
    bundle.add(entry);
    bundle.joined
}

/// Joins styles without comments and indentation.
pub fn styles<'a>(sources: impl IntoIterator<Item = &'a str>) -> String {
    sources.into_iter().map(strip).collect()
}

struct Bundle<'a> {
    sources: &'a Sources<'a>,
    joined: String,
    /// The names that hold the exports of the modules, by path.
    names: BTreeMap<String, String>,
}

impl Bundle<'_> {
    /// Adds a module, after all that it imports. Returns the name that holds its exports.
    fn add(&mut self, path: &str) -> String {
        if let Some(name) = self.names.get(path) {
            return name.clone();
        }
        let name = format!("$m{}", self.names.len());
        self.names.insert(path.to_owned(), name.clone());
        let source = self.sources.get(path).copied().unwrap_or_default();
        let (mut body, mut exports) = (String::new(), Vec::new());
        if path.starts_with(VENDOR) {
            (body, exports) = split_minified(source);
        } else {
            for statement in statements(&strip(source)) {
                self.add_statement(path, statement, &mut body, &mut exports);
            }
        }
        let exports = exports.join(", ");
        let _infallible = writeln!(self.joined, "const {name} = (() => {{\n{body}return {{ {exports} }};\n}})();");
        name
    }

    fn add_statement(&mut self, path: &str, statement: &str, body: &mut String, exports: &mut Vec<String>) {
        if let Some((names, from)) = import_of(statement, "import ") {
            let module = self.add(&resolve(path, from));
            let _infallible = match names.strip_prefix('{') {
                Some(names) => writeln!(body, "const {{{} = {module};", names.replace(" as ", ": ")),
                None if names.is_empty() => Ok(()),
                None => writeln!(body, "const {names} = {module}.default;"),
            };
        } else if let Some((names, from)) = import_of(statement, "export ") {
            let module = self.add(&resolve(path, from));
            let names = names.trim_matches(['{', '}']).split(',').map(str::trim).filter(|name| !name.is_empty());
            exports.extend(names.map(|name| format!("{name}: {module}.{name}")));
        } else if let Some(declaration) = statement.strip_prefix("export ") {
            exports.extend(declared_name(declaration).map(str::to_owned));
            body.push_str(declaration);
        } else {
            body.push_str(statement);
        }
    }
}

/// Splits a minified module into its body and its exports: `export{a as b};`, or one default export, at the end.
fn split_minified(source: &str) -> (String, Vec<String>) {
    let code = source.split("//# sourceMappingURL=").next().unwrap_or_default().trim_end();
    match code.rsplit_once("export{") {
        Some((body, names)) => {
            let name = |export: &str| match export.split_once(" as ") {
                Some((local, name)) => format!("{name}: {local}"),
                None => export.to_owned(),
            };
            (format!("{body}\n"), names.trim_end_matches(['}', ';']).split(',').map(name).collect())
        }
        None => (code.replacen("export default ", "const $default = ", 1) + ";\n", vec!["default: $default".to_owned()]),
    }
}

/// Splits a script into statements with imports and exports, and the text between them.
fn statements(text: &str) -> Vec<&str> {
    let is_start = |line: &str| line.starts_with("import ") || line.starts_with("export {");
    let (mut statements, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let length = if is_start(rest) {
            rest.find(";\n").map_or(rest.len(), |end| end + 2)
        } else {
            rest.find('\n').map_or(rest.len(), |end| end + 1)
        };
        let (statement, after) = rest.split_at(length);
        statements.push(statement);
        rest = after;
    }
    statements
}

/// Reads `import { names } from "path";` and the like. Returns the names, with their braces, and the path.
fn import_of<'a>(statement: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let rest = statement.strip_prefix(keyword)?;
    let (names, path) = match rest.split_once(" from \"") {
        Some((names, path)) => (names.trim(), path),
        None => ("", rest.strip_prefix('"')?),
    };
    Some((names, path.trim_end().strip_suffix("\";")?))
}

/// Returns the name that `const name = …`, `class Name …` or `async function name(…` declares.
fn declared_name(declaration: &str) -> Option<&str> {
    let rest = ["const ", "class ", "function ", "async function "].iter().find_map(|word| declaration.strip_prefix(word))?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$').next()
}

/// Removes indentation, empty lines, and comments that have lines of their own.
pub fn strip(text: &str) -> String {
    let mut is_comment = false;
    let mut stripped = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.is_empty() && !line.starts_with("//") {
            stripped.push_str(line);
            stripped.push('\n');
        }
        is_comment &= !line.ends_with("*/");
    }
    stripped
}

/// Resolves a path relative to a file.
fn resolve(file: &str, path: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Returns what a module imports from files that do not exist, or that do not export it.
#[cfg(test)]
pub fn missing_imports(sources: &Sources, path: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for statement in statements(&strip(sources.get(path).copied().unwrap_or_default())) {
        let Some((names, from)) = import_of(statement, "import ").or_else(|| import_of(statement, "export ")) else { continue };
        let target = resolve(path, from);
        let Some(text) = sources.get(target.as_str()) else {
            missing.push(target);
            continue;
        };
        let names = names.strip_prefix('{').map(|names| names.trim_end_matches('}')).unwrap_or_default();
        let names =
            names.split(',').map(|name| name.split(" as ").next().unwrap_or_default().trim()).filter(|name| !name.is_empty());
        let is_exported = |name: &str| match target.starts_with(VENDOR) {
            true => text.contains(name),
            false => exports_of(text).iter().any(|export| export == name),
        };
        missing.extend(names.filter(|name| !is_exported(name)).map(|name| format!("{name} of {target}")));
    }
    missing
}

#[cfg(test)]
fn exports_of(text: &str) -> Vec<String> {
    let text = strip(text);
    let names = |statement: &str| match import_of(statement, "export ") {
        Some((names, _)) => names.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned()).collect(),
        None => statement.strip_prefix("export ").and_then(declared_name).map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    statements(&text).into_iter().flat_map(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_run_once_in_the_order_of_their_imports() {
        let sources = Sources::from([
            ("main.js", "// Starts.\nimport { a, b as c } from \"./lib/a.js\";\nimport \"./lib/b.js\";\n\nrun(a, c);\n"),
            (
                "lib/a.js",
                "import {\n  h,\n} from \"../vendor/h.js\";\nimport x from \"../vendor/x.js\";\n/**\n * Text.\n */\nexport const a = h(x);\nexport \
                 async function b() {\n  return 1;\n}\n",
            ),
            ("lib/b.js", "import { a } from \"./a.js\";\nexport { h } from \"../vendor/h.js\";\nexport class C {}\n"),
            ("vendor/h.js", "var t=1,n=()=>t;export{n as h,t};\n//# sourceMappingURL=h.js.map\n"),
            ("vendor/x.js", "var n=1;export default function(t){return n+t}"),
        ]);
        let expected = "const $m2 = (() => {\nvar t=1,n=()=>t;\nreturn { h: n, t };\n})();\nconst $m3 = (() => {\nvar n=1;const $default = \
                        function(t){return n+t};\nreturn { default: $default };\n})();\nconst $m1 = (() => {\nconst {\nh,\n} = \
                        $m2;\nconst x = $m3.default;\nconst a = h(x);\nasync function b() {\nreturn 1;\n}\nreturn { a, b };\n})();\nconst $m4 = \
                        (() => {\nconst { a } = $m1;\nclass C {}\nreturn { h: $m2.h, C };\n})();\nconst $m0 = (() => {\nconst { a, b: c } = \
                        $m1;\nrun(a, c);\nreturn {  };\n})();\n";
        assert_eq!(script(&sources, "main.js"), expected);
    }

    #[test]
    fn paths_are_resolved_relative_to_the_importing_file() {
        assert_eq!(resolve("main.js", "./server.js"), "server.js");
        assert_eq!(resolve("gallery/grid.js", "../vendor/preact/preact.module.js"), "vendor/preact/preact.module.js");
        assert_eq!(resolve("gallery/grid.js", "./layout.js"), "gallery/layout.js");
    }

    #[test]
    fn comments_and_indentation_are_removed() {
        assert_eq!(strip("/* One\n   two */\n.a {\n  color: red;\n}\n\n  // three\nb();\n"), ".a {\ncolor: red;\n}\nb();\n");
    }
}
