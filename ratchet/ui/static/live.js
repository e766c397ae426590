// Appends new events to the list, and reloads the page's content when a generation is decided or the run ends.
const main = document.getElementById("main");
const address = main?.dataset.events;
if (address) {
  const source = new EventSource(address);
  source.onmessage = (message) => {
    const { s, text } = JSON.parse(message.data);
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
    line.append(time, ` ${text}`);
    document.getElementById("events").append(line);
    if (/PROMOTED|rejected|opened/.test(text)) refresh();
  };
  source.addEventListener("end", () => {
    source.close();
    refresh();
  });
}

async function refresh() {
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  main.replaceChildren(...page.getElementById("main").childNodes);
}
