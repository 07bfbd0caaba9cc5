// A button on each block that people copy: of a console, the commands without prompts and output.
for (const block of document.querySelectorAll("div.highlight")) {
  const language = block.parentElement.className.match(/highlight-(\w+)/)?.[1];
  if (!["console", "ini", "python", "sh", "toml", "yaml"].includes(language)) continue;
  const button = document.createElement("button");
  button.className = "copy";
  button.type = "button";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    const text = block.querySelector("pre").textContent;
    await navigator.clipboard.writeText(language === "console" ? commands(text) : text);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 2000);
  });
  block.append(button);
}

function commands(text) {
  let inside = false;
  return text
    .split("\n")
    .filter((line) => {
      const taken = inside || line.startsWith("$ ");
      inside = taken && line.endsWith("\\");
      return taken;
    })
    .map((line) => line.replace(/^\$ /, "") + "\n")
    .join("");
}
