// The types are right, they say what there is, and the modules use no name that there is not.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import ts from "typescript";

import * as cursors from "../../lib/file-cursors.js";
import * as queuey from "../../queuey.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const config = ts.getParsedCommandLineOfConfigFile(
  `${ROOT}tsconfig.json`,
  {},
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: assert.fail },
);
const modules = [
  ["types/index.d.ts", queuey],
  ["types/file-cursors.d.ts", cursors],
];

// The declarations of browsers and of Node.js are read once for all programs.
const host = ts.createCompilerHost(config.options);
const read = new Map();
const readSource = host.getSourceFile;
host.getSourceFile = (name, ...more) => {
  if (!read.has(name)) read.set(name, readSource.call(host, name, ...more));
  return read.get(name);
};
const program = ts.createProgram(config.fileNames, config.options, host);
const checker = program.getTypeChecker();

/** What the compiler says about the client's own files. */
function diagnostics(compiled) {
  const own = compiled
    .getSourceFiles()
    .filter(({ fileName }) => fileName.startsWith(ROOT) && !fileName.includes("node_modules"));
  assert.ok(own.length > 5);
  return own
    .flatMap((file) => [...compiled.getSyntacticDiagnostics(file), ...compiled.getSemanticDiagnostics(file)])
    .map(({ code, file, messageText }) => ({
      code,
      text: `${file.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    }));
}

test("what users write in TypeScript compiles, and mistakes do not", () => {
  assert.deepEqual(diagnostics(program), []);
});

test("no name is unknown, and no import and no variable is unused", () => {
  const options = { ...config.options, strict: false, allowJs: true, checkJs: true, noUnusedLocals: true };
  const files = [`${ROOT}queuey.js`, `${ROOT}lib/file-cursors.js`];
  // The modules have no types of their own. Of what the compiler says about them, these are mistakes all the same.
  const mistakes = [1005, 2304, 2305, 2307, 2451, 2454, 2552, 2614, 6133, 6192, 6196];
  const found = diagnostics(ts.createProgram(files, options, host));
  assert.deepEqual(
    found.filter(({ code }) => mistakes.includes(code)),
    [],
  );
});

/** The classes and other values that a module of types has, by name. */
function declared(name) {
  const all = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(ROOT + name)));
  const resolved = all.map((each) => (each.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(each) : each));
  return new Map(resolved.filter((each) => each.flags & ts.SymbolFlags.Value).map((each) => [each.name, each]));
}

/** Names of methods and getters, less those of every class and error. */
function methods(names) {
  const common = ["constructor", "errorName", "length", "name", "prototype"];
  return [...names].filter((name) => !common.includes(name)).sort();
}

for (const [name, module] of modules) {
  test(`${name} has the names of the module`, () => {
    assert.deepEqual([...declared(name).keys()].sort(), Object.keys(module).sort());
  });

  for (const [each, symbol] of declared(name)) {
    if (!(symbol.flags & ts.SymbolFlags.Class)) continue;
    test(`${each} has the methods that its types say`, () => {
      const callable = ts.SymbolFlags.Method | ts.SymbolFlags.Accessor;
      const own = [...symbol.members.values()].filter((member) => member.flags & callable).map((member) => member.name);
      assert.deepEqual(methods(own), methods(Object.getOwnPropertyNames(module[each].prototype)));
      assert.deepEqual(methods(symbol.exports.keys()), methods(Object.getOwnPropertyNames(module[each])));
    });
  }
}

test("the package names what there is, and one version", () => {
  const parse = (name) => JSON.parse(readFileSync(ROOT + name, "utf8"));
  const { version, exports } = parse("package.json");
  assert.equal(version, queuey.VERSION);
  assert.equal(parse("package-lock.json").version, version);
  const targets = Object.values(exports).flatMap((each) => (typeof each === "string" ? [each] : Object.values(each)));
  for (const target of targets) assert.ok(readFileSync(ROOT + target, "utf8"));
});

test("no file is longer than 400 lines", () => {
  const files = ["lib/", "types/", "test/", "test/unit/", "test/live/"].flatMap((folder) =>
    readdirSync(ROOT + folder)
      .filter((name) => /\.(js|ts)$/.test(name))
      .map((name) => ROOT + folder + name),
  );
  assert.deepEqual(
    files.filter((file) => readFileSync(file, "utf8").split("\n").length > 400),
    [],
  );
});
