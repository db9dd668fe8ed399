// The page is whole without this: it only saves the reload.
const part = document.querySelector("main");
const line = document.getElementById("line");
const events = new EventSource("/events");
events.onopen = () => { line.textContent = "live"; };
events.onmessage = (event) => { part.innerHTML = event.data; };
// Who is refused is not connected again by itself: enough people follow already.
events.onerror = () => {
  line.textContent = events.readyState === EventSource.CLOSED
    ? "enough people follow already; reload to look again"
    : "the agent does not answer; trying again";
};
