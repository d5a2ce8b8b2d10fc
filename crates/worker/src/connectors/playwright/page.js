// What is done within a page, in a world of its own: the page's scripts share its document but not its variables.
// It answers with `value` when it is done, `waiting` while it cannot be done yet, and `refused` when it never can.
(operation, selector, wish) => {
  if (operation === 'look') {
    const [navigation] = performance.getEntriesByType('navigation');
    return { value: { url: location.href, title: document.title, status: navigation?.responseStatus || null } };
  }
  let found;
  try {
    found = [...document.querySelectorAll(selector)];
  } catch {
    return { refused: 'the selector is not one of CSS' };
  }
  const read = (it) => {
    if (!wish.attribute) return it.innerText ?? it.textContent;
    // What is in a field now is a property; its attribute is what was in it first.
    return wish.attribute === 'value' && 'value' in it ? String(it.value) : it.getAttribute(wish.attribute);
  };
  if (operation === 'extract' && wish.all) return { value: found.map(read) };
  const it = found[0];
  if (!it) return { waiting: 'nothing matches the selector' };
  if (operation === 'extract') return { value: read(it) };

  const size = it.getBoundingClientRect();
  const seen = size.width > 0 && size.height > 0 && getComputedStyle(it).visibility === 'visible';
  if (!seen) return { waiting: 'what matches the selector is not visible' };
  if (operation === 'wait') return { value: null };
  if (it.matches(':disabled')) return { waiting: 'what matches the selector is disabled' };

  if (operation === 'click') {
    it.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    // The first line of it: a link may go on in the next.
    const box = it.getClientRects()[0];
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const hit = it.getRootNode().elementFromPoint(x, y);
    if (!hit || !it.contains(hit)) return { waiting: 'what matches the selector is covered by something else' };
    return { value: { x, y } };
  }

  // Fill.
  const changed = () => {
    it.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    it.dispatchEvent(new Event('change', { bubbles: true }));
    return { value: 'set' };
  };
  if (it instanceof HTMLSelectElement) {
    const option = [...it.options].find((one) => one.value === wish.text || one.label === wish.text);
    if (!option) return { waiting: 'no option has this value or label' };
    option.selected = true;
    return changed();
  }
  const field = it instanceof HTMLInputElement || it instanceof HTMLTextAreaElement;
  if (!field && !it.isContentEditable) return { refused: 'what matches the selector takes no text' };
  if (it.readOnly) return { waiting: 'what matches the selector is read-only' };
  if (['button', 'checkbox', 'file', 'image', 'radio', 'reset', 'submit'].includes(it.type)) {
    return { refused: 'what matches the selector takes no text' };
  }
  it.focus();
  if (['color', 'date', 'datetime-local', 'month', 'range', 'time', 'week'].includes(it.type)) {
    it.value = wish.text;
    return it.value === wish.text ? changed() : { refused: 'the text is not of the form that the field takes' };
  }
  if (field) it.select();
  else getSelection().selectAllChildren(it);
  if (wish.text === '') {
    document.execCommand('delete');
    return { value: 'set' };
  }
  return { value: 'selected' };
}
