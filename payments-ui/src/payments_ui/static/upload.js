// Statement files: dropped or chosen, sent one after the other, each with its progress.

function row(list, name) {
  const item = document.createElement("li");
  item.className = "upload";
  const title = document.createElement("span");
  title.textContent = name;
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Sending ${name}`);
  const state = document.createElement("span");
  state.className = "quiet";
  item.append(title, bar, state);
  list.append(item);
  return { item, bar, state };
}

function send(form, file, { bar, state }) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.upload}&fileName=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Payments-Form", form.elements.csrf.value);
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      state.textContent = `${Math.floor(bar.value * 100)} %`;
    });
    request.addEventListener("loadend", () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // An error page, or no answer at all.
      }
      resolve(answer);
    });
    request.send(file);
  });
}

async function sendAll(form, files) {
  const list = form.querySelector(".uploads");
  const sent = [];
  for (const file of files) {
    const shown = row(list, file.name);
    const answer = await send(form, file, shown);
    if (answer.address) {
      const link = document.createElement("a");
      link.href = answer.address;
      link.textContent = "received";
      shown.bar.value = 1;
      shown.state.replaceChildren(link);
      sent.push(answer.address);
    } else {
      shown.bar.remove();
      shown.state.className = "upload-problem";
      shown.state.textContent =
        answer.problem ?? "The file was not sent: reload the page and try again.";
    }
  }
  if (files.length === 1 && sent.length === 1) location.assign(sent[0]);
}

const formOf = (event) => event.target.closest?.("form[data-upload]");

document.addEventListener("change", (event) => {
  const form = formOf(event);
  if (!form || event.target.type !== "file") return;
  sendAll(form, [...event.target.files]);
  event.target.value = "";
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const form = formOf(event);
    if (!form) return;
    event.preventDefault();
    form.classList.toggle("is-over", kind === "dragover");
    if (kind === "drop") sendAll(form, [...event.dataTransfer.files]);
  });
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});
