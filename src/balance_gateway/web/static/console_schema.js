// Formats the schema as SDL text from its introspection result.

const TYPE = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";

export const INTROSPECTION = `query Schema {
  __schema {
    types {
      kind name description
      fields { name description args { ...input } type { ${TYPE} } }
      inputFields { ...input }
      interfaces { name }
      enumValues { name description }
      possibleTypes { name }
    }
  }
}
fragment input on __InputValue { name description defaultValue type { ${TYPE} } }`;

function typeText(type) {
  if (type.kind === "NON_NULL") return `${typeText(type.ofType)}!`;
  if (type.kind === "LIST") return `[${typeText(type.ofType)}]`;
  return type.name;
}

function describe(text, indent) {
  if (!text) return "";
  return text
    .split("\n")
    .map((line) => `${indent}# ${line}\n`)
    .join("");
}

function inputText(input) {
  const value = input.defaultValue === null ? "" : ` = ${input.defaultValue}`;
  return `${input.name}: ${typeText(input.type)}${value}`;
}

function fieldText(field) {
  const inputs = field.args.length ? `(${field.args.map(inputText).join(", ")})` : "";
  return `${describe(field.description, "  ")}  ${field.name}${inputs}: ${typeText(field.type)}\n`;
}

function block(head, lines) {
  return `${head} {\n${lines.join("")}}\n`;
}

function definition(type) {
  const implemented = (type.interfaces || []).map((each) => each.name).join(" & ");
  const plain = (each, text) => `${describe(each.description, "  ")}  ${text}\n`;
  switch (type.kind) {
    case "OBJECT":
      return block(`type ${type.name}${implemented && ` implements ${implemented}`}`, type.fields.map(fieldText));
    case "INTERFACE":
      return block(`interface ${type.name}`, type.fields.map(fieldText));
    case "INPUT_OBJECT":
      return block(`input ${type.name}`, type.inputFields.map((each) => plain(each, inputText(each))));
    case "ENUM":
      return block(`enum ${type.name}`, type.enumValues.map((each) => plain(each, each.name)));
    case "UNION":
      return `union ${type.name} = ${type.possibleTypes.map((each) => each.name).join(" | ")}\n`;
    default:
      return `scalar ${type.name}\n`;
  }
}

export function schemaText(schema) {
  const own = schema.types.filter((type) => !type.name.startsWith("__"));
  const first = ["Query", "Mutation"];
  const rank = (type) => (first.includes(type.name) ? first.indexOf(type.name) : first.length);
  own.sort((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name));
  return own.map((type) => describe(type.description, "") + definition(type)).join("\n");
}
