"use strict";
for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.closest("figure").querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent);
    } catch {
      getSelection().selectAllChildren(text);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
for (const label of document.querySelectorAll(".filter")) {
  label.hidden = false;
  const causes = label.closest(".run").querySelectorAll(".cause");
  label.querySelector("input").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const cause of causes) {
      const text = cause.querySelector("summary").textContent.toLowerCase();
      cause.hidden = !words.every((word) => text.includes(word));
    }
  });
}
