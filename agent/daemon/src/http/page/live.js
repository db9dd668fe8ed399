// The page is whole without this: it only saves the reload.
const part = document.querySelector("main");
const line = document.getElementById("line");
const events = new EventSource("/events");
events.onopen = () => { line.textContent = "live"; };
events.onmessage = (event) => { part.innerHTML = event.data; };
events.onerror = () => { line.textContent = "the agent does not answer; trying again"; };
